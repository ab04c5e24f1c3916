"""The class that runs a pipeline in containers: batches, queues, volumes, broken GPUs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Final, NamedTuple

from squall._context import current_function_call_id
from squall._declaring.methods import concurrent, enter, exit, method
from squall._declaring.parameters import parameter
from squall.exception import InvalidError
from squall.serving.batching import Batcher
from squall.serving.config import ServiceConfig
from squall.serving.delivery import deliver
from squall.serving.payloads import AsyncInputModel, InferenceOutputModel
from squall.serving.pipeline import InferencePipeline, is_cuda_error, isolated
from squall.serving.queues import QueueBackend, create_backend
from squall.serving.reloading import Reloading
from squall.serving.replies import Outcome, Reply, outcome_of, reply_to

_log: Final = logging.getLogger("squall.serving")


class Request(NamedTuple):
    """One input on its way to a model. `asynchronous` None: its caller waits for the outcome."""

    message: Any
    asynchronous: AsyncInputModel[Any] | None = None


class InferenceService:
    """One model in one pool of containers: subclass it below `@app.cls(…)`.

    Class attributes of a subclass: `inference_implementation`, the pipeline's class; `config`, a
    ServiceConfig (`modal_utils` means the same); `queue_backend`, an object or something that makes
    one, in place of the one in the settings. `model_name` is a parameter: every model has
    containers of its own.
    """

    inference_implementation: ClassVar[type[InferencePipeline]]
    config: ClassVar[ServiceConfig]
    modal_utils: ClassVar[ServiceConfig]
    queue_backend: ClassVar[QueueBackend | Callable[[], QueueBackend] | None] = None

    model_name: str = parameter()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "modal_utils" in vars(cls):
            cls.config = cls.modal_utils
        pipeline = getattr(cls, "inference_implementation", None)
        if not isinstance(pipeline, type) or not issubclass(pipeline, InferencePipeline):
            raise InvalidError(
                f"{cls.__name__}.inference_implementation must be a class of InferencePipeline"
            )
        if not isinstance(getattr(cls, "config", None), ServiceConfig):
            raise InvalidError(f"{cls.__name__}.config must be a ServiceConfig")
        batch = cls.config.app_settings.batch_config.max_batch_size
        beyond = cls.config.deployment.allow_concurrent_inputs
        concurrent(max_inputs=2 * batch + beyond, target_inputs=batch)(cls)

    @enter()
    async def load_artefacts(self) -> None:
        """Make the pipeline, and what it works with."""
        settings = self.config.model_settings
        if self.model_name not in settings.model_entries:
            known = ", ".join(settings.model_entries)
            raise InvalidError(f"there is no model {self.model_name!r}: there are {known}")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pipeline")
        self._backend = self._make_backend()
        self._pipeline = await self._on_thread(
            lambda: self.inference_implementation(
                self.model_name,
                str(settings.local_model_repository_folder),
                dict(settings.common),
                **settings.model_entries[self.model_name],
            )
        )
        batch = self.config.app_settings.batch_config
        self._batcher: Batcher[Any, InferenceOutputModel] = Batcher(
            self._run, max_size=batch.max_batch_size, wait_s=batch.wait_ms / 1000
        )
        interval_s = self.config.deployment.volume_reload_interval_seconds
        self._reloading: Reloading | None = None
        if interval_s is not None:
            self._reloading = Reloading(self.config.volumes, interval_s, self._tell_of_reload)
            self._reloading.start()

    @exit()
    async def release(self) -> None:
        """End what was begun."""
        if self._reloading is not None:
            await asyncio.to_thread(self._reloading.stop)
        close: Callable[[], Awaitable[None]] | None = getattr(self._backend, "close", None)
        if close is not None:
            await close()
        self._thread.shutdown()

    @method()
    async def process_request(self, request: Request) -> Outcome:
        """Run one input together with others, and tell the queues that its caller named.

        What the pipeline raises for it is the outcome's `error`. A queue that can't be reached does
        not lose the outcome: telling it goes on as a call of its own.
        """
        asked = request.asynchronous
        try:
            result: InferenceOutputModel | Exception = await self._batcher.submit(request.message)
        except Exception as error:  # noqa: BLE001 - the user's own: it is the outcome
            _log.exception("%s failed", current_function_call_id())
            result = error
        outcome = outcome_of(result, asked.meta if asked else {})
        if asked is not None:
            reply = reply_to(asked, outcome, current_function_call_id() or "")
            if reply is not None:
                await self._tell(reply)
        return outcome

    @method()
    async def deliver_reply(self, reply: Reply) -> None:
        """Tell a queue of an outcome, again and again until it takes it or the time is over."""
        await deliver(self._backend, reply, patience_s=0.9 * self.config.deployment.timeout)

    async def _tell(self, reply: Reply) -> None:
        try:
            await deliver(self._backend, reply, patience_s=0)
        except Exception as error:  # noqa: BLE001 - whatever it was, the reply is kept
            _log.warning("queue %s: %s; trying on", reply.queue, error)
            await self.deliver_reply.spawn.aio(reply)

    async def _run(self, inputs: list[Any]) -> Sequence[InferenceOutputModel | Exception]:
        retries = self.config.deployment.retries
        run = self._pipeline.run_inference
        outcomes: list[InferenceOutputModel | Exception] = await self._on_thread(
            lambda: isolated(run, inputs, retries)
        )
        if any(isinstance(each, Exception) and is_cuda_error(each) for each in outcomes):
            _log.error("the GPU is of no use to this container any more: it is replaced")
            from squall.experimental import stop_fetching_inputs

            stop_fetching_inputs()
        return outcomes

    async def _on_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _tell_of_reload(self) -> None:
        self._thread.submit(self._pipeline.on_volume_reload).result()

    def _make_backend(self) -> QueueBackend:
        own = type(self).queue_backend
        if own is None:
            chosen = self.config.app_settings.queue_config
            return create_backend(chosen.backend, broker_url=chosen.broker_url)
        return own if isinstance(own, QueueBackend) else own()


def sync_call(service: Any) -> Callable[[str, Any], Awaitable[Outcome]]:
    """`await call(model_name, input)` runs an input and gives its outcome."""

    async def call(model_name: str, message: Any) -> Outcome:
        request = Request(message)
        outcome: Outcome = await service(model_name=model_name).process_request.remote.aio(request)
        return outcome

    return call


def async_call(service: Any) -> Callable[[str, AsyncInputModel[Any]], Awaitable[str]]:
    """`await call(model_name, request)` stores an input to be run, and gives the job's id."""

    async def call(model_name: str, asked: AsyncInputModel[Any]) -> str:
        request = Request(asked.message, asked)
        job = await service(model_name=model_name).process_request.spawn.aio(request)
        job_id: str = job.object_id
        return job_id

    return call
