"""A platform for tests of the SDK: a real nats-server, and stand-ins for gateway and guest.

The stand-ins speak the contracts over the real bus, on a thread of their own. The guest runs the
functions of apps in this very process, so that tests need no containers.
"""

import asyncio
import hashlib
import inspect
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from squall import _container, _pickling
from squall_bus.access.accounts import write_credentials
from squall_bus.access.sealing import new_pair
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import SquallRefusal
from squall_bus.layout import ensure_workspace
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import (
    apps,
    environments,
    images,
    lanes,
    placement,
    secrets,
    subjects,
    verbs,
)
from squall_contracts.calls import (
    INLINE_LIMIT_BYTES,
    BlobRef,
    Exhausted,
    Inputs,
    Payload,
    Raised,
    Report,
    Results,
    Returned,
    Yielded,
)
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionSpec
from squall_contracts.message import Message, decode, encode, new_id

from tests.bus.natsd import NatsServer

from .registry import Registry

T = TypeVar("T")
GUEST = "guest"


class Platform:
    """Start it, point SQUALL_SERVER_URL and SQUALL_CREDENTIALS at it, register apps, stop it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="squall-sdk-"))
        self.server = NatsServer(self.folder)
        self.credentials = self.folder / "client.creds"
        write_credentials(self.credentials, self.server.keys.client("test"))
        self.functions: dict[str, Callable[..., Any]] = {}
        """What the guest runs for each function name."""
        self.specs: dict[str, FunctionSpec] = {}
        """By function id, as they were sent."""
        self.asked: list[Message] = []
        """Requests the gateway got, oldest first."""
        self.started: dict[str, tuple[str, dict[str, str]]] = {}
        self.sealing = new_pair()
        self.secrets: dict[str, secrets.SecretInfo] = {}
        self.batches: list[int] = []
        """How many inputs each message to the guest held."""
        self.build: Callable[[images.EnsureImage], images.ImageStatus] | None = None
        self.containers: tuple[placement.ContainerRecord, ...] = ()
        self.pools_good_for_s: float | None = None
        self.dying = 0
        """So many requests more are taken and never answered, as by a gateway that was killed."""
        self.hold = threading.Event()
        """While cleared, the guest runs nothing."""
        self.hold.set()
        self._cancelled: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="platform")
        self._thread.start()
        self.do(self._start())

    @property
    def url(self) -> str:
        return self.server.url

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the platform's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        await self.server.start()
        keys = self.server.keys
        self.workspace = await self.server.connect(GUEST)
        self.platform: Bus = await connect(
            [self.url], keys.service("gateway"), name="gateway", inbox=subjects.inbox("gateway")
        )
        await ensure_workspace(self.workspace)
        self.registry = Registry(self.workspace)
        for verb in verbs.VERBS.values():
            subject = subjects.API_ALL[: -len("*")] + verb.name
            await self.platform.respond(subject, verb.request, self._answer)
        await self.workspace.admin.ensure_consumer(
            subjects.CALLS, GUEST, subjects=subjects.CALL_ALL, max_ack_pending=20_000
        )
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._pull = StandingPull(
            self.workspace, subjects.CALLS, GUEST, self._jobs.put_nowait, batch=512
        )
        await self._pull.start()
        self._runner = self._loop.create_task(self._run())

    def stop(self) -> None:
        self.hold.set()
        self.do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.server.close()
        shutil.rmtree(self.folder)

    async def _stop(self) -> None:
        self._runner.cancel()
        await asyncio.wait([self._runner])
        await self._pull.close()
        await self.workspace.close()
        await self.platform.close()

    # --- the gateway -----------------------------------------------------------------------------

    async def _answer(self, subject: str, request: Message) -> Message:
        self.asked.append(request)
        if self.dying:
            self.dying -= 1
            await asyncio.sleep(60)
        match request:
            case apps.StartApp() | apps.DeployApp():
                return self._start_app(request)
            case apps.FindFunction() | apps.FindApp() | apps.BindPool():
                return self._look_up(request)
            case lanes.OpenLane() | apps.ListContainers():
                return self._present(request)
            case images.EnsureImage():
                if self.build is not None:
                    return self.build(request)
                return images.ImageStatus(image_id=images.image_id(request.recipe), state="ready")
            case apps.CancelCall():
                await self._cancel(request)
        return await self.registry.answer(request) or self._stored(request) or apps.Done()

    def _start_app(self, request: apps.StartApp | apps.DeployApp) -> apps.AppStarted:
        ids = {}
        for spec in request.functions:
            ids[spec.name] = function_id = new_id("fn")
            self.specs[function_id] = spec
        app_id = new_id("ap")
        self.started[request.name] = app_id, ids
        return apps.AppStarted(app_id=app_id, version=1, function_ids=ids)

    def _look_up(self, request: apps.FindFunction | apps.FindApp | apps.BindPool) -> Message:
        match request:
            case apps.FindFunction():
                return self._find(request)
            case apps.FindApp():
                return self._find_app(request)
            case apps.BindPool():
                return self._bind(request)

    def _find(self, request: apps.FindFunction) -> apps.FoundFunction:
        if request.app not in self.started:
            raise SquallRefusal("not_found", f"no app {request.app!r} is deployed")
        app_id, ids = self.started[request.app]
        if request.name not in ids:
            raise SquallRefusal("not_found", f"app {request.app!r} has no {request.name!r}")
        spec = self.specs[ids[request.name]]
        return apps.FoundFunction(
            function_id=ids[request.name],
            app_id=app_id,
            environment=request.environment,
            is_generator=spec.is_generator,
            version=1,
            retryable=spec.retry is not None,
        )

    def _find_app(self, request: apps.FindApp) -> apps.FoundApp:
        for name, (app_id, _) in self.started.items():
            if request.app_id == app_id or (request.name == name and not request.app_id):
                return apps.FoundApp(app_id=app_id, environment="main", name=name, version=1)
        raise SquallRefusal("not_found", f"no app {request.name!r} is deployed")

    def _bind(self, request: apps.BindPool) -> apps.BoundPool:
        pool = encode((request.function_id, request.arguments, request.variant))
        function_id = f"fn-{hashlib.sha256(pool).hexdigest()[:22]}"
        self.specs[function_id] = self.specs[request.function_id]
        return apps.BoundPool(function_id=function_id, good_for_s=self.pools_good_for_s)

    def _stored(self, request: Message) -> Message | None:
        """The answer to a request about environments and secrets; None: it is about others."""
        match request:
            case environments.FindEnvironment(name=name):
                return environments.EnvironmentEntry(name=name, web_suffix="", created_unix_s=0.0)
            case secrets.GetSealingKey():
                return secrets.SealingKey(
                    key_id=self.sealing.key_id,
                    public_key=self.sealing.public,
                    account=self.server.workspace.public,
                )
            case secrets.PutSecret() | secrets.FindSecret():
                return self._secret(request)
            case secrets.ListSecrets():
                return secrets.SecretList(secrets=tuple(self.secrets.values()))
        return None

    def _secret(self, request: secrets.PutSecret | secrets.FindSecret) -> secrets.SecretInfo:
        known = self.secrets.get(request.name)
        if isinstance(request, secrets.FindSecret):
            if known is None:
                raise SquallRefusal("not_found", f"there is no secret {request.name!r}")
            return known
        if known is not None and request.mode == "create":
            raise SquallRefusal("already_exists", f"secret {request.name!r} exists")
        self.secrets[request.name] = info = secrets.SecretInfo(
            secret_id=new_id("st"),
            environment=request.environment,
            name=request.name,
            keys=tuple(sorted(request.variables)),
            created_unix_s=1.0,
            updated_unix_s=2.0,
        )
        return info

    def _present(self, request: lanes.OpenLane | apps.ListContainers) -> Message:
        if isinstance(request, lanes.OpenLane):
            return lanes.LaneOpened(lane="bulk2")
        return placement.ContainerList(containers=self.containers)

    async def _cancel(self, request: apps.CancelCall) -> None:
        self._cancelled.add(request.call_id)
        failure = Failure(kind="cancelled", message=f"{request.call_id} was cancelled")
        await self.report(request.reply_to, request.call_id, Raised(-1, failure))

    # --- the guest -------------------------------------------------------------------------------

    async def report(self, reply_to: str, call_id: str, *items: Report) -> None:
        """Publish results of a call."""
        await self.workspace.store(
            reply_to, Results(call_id=call_id, container_id="ct-test", items=items)
        )

    async def _run(self) -> None:
        running: set[asyncio.Task[None]] = set()
        while True:
            job = await self._jobs.get()
            inputs = decode(job.data, Inputs)
            _, function_id, _, _ = subjects.call_parts(job.subject)
            self.batches.append(len(inputs.items))
            task = self._loop.create_task(self._run_inputs(job, inputs, function_id))
            running.add(task)
            task.add_done_callback(running.discard)

    async def _run_inputs(self, job: Job, inputs: Inputs, function_id: str) -> None:
        if not self.hold.is_set():
            await asyncio.to_thread(self.hold.wait)
        if inputs.call_id in self._cancelled:
            job.ack()
            return
        function = self.functions[self.specs[function_id].name]
        reports: list[Report] = []
        for item in inputs.items:
            data = await self._read(item.payload)
            with _container.running(inputs, item.index):
                reports += await self._outcome(function, inputs, item.index, data)
        results = Results(call_id=inputs.call_id, container_id="ct-test", items=tuple(reports))
        await self.workspace.store_soon(
            inputs.reply_to, encode(results), on_stored=lambda _: void(job.ack())
        )

    async def _outcome(
        self, function: Callable[..., Any], inputs: Inputs, index: int, data: bytes
    ) -> list[Report]:
        try:
            args, kwargs = _pickling.load_call(data)
            result = function(*args, **kwargs)
            if inspect.isgenerator(result):
                for position, value in enumerate(result):
                    item = Yielded(index, 0, position, await self._payload(inputs, index, value))
                    await self.report(inputs.reply_to, inputs.call_id, item)
                return [Exhausted(index, position + 1)]
            if inspect.iscoroutine(result):
                result = await result
            return [Returned(index, await self._payload(inputs, index, result), 0.00001)]
        except Exception as error:  # noqa: BLE001 - whatever user code raises is an outcome
            return [Raised(index, failure_of(error))]

    async def _payload(self, inputs: Inputs, index: int, value: object) -> Payload:
        data = _pickling.dumps(value)
        if len(data) <= INLINE_LIMIT_BYTES:
            return data
        name = f"{inputs.call_id}/{index}.{new_id('b')}"
        await self.workspace.objects(subjects.BLOBS_BUCKET).put(name, data)
        digest = hashlib.sha256(data).hexdigest()
        return BlobRef(name=name, size_bytes=len(data), sha256=digest)

    async def _read(self, payload: Payload) -> bytes:
        if isinstance(payload, bytes):
            return payload
        return await self.workspace.objects(subjects.BLOBS_BUCKET).get(payload.name)

    async def idle(self) -> None:
        """Return once no input is left that somebody stored."""
        admin = self.workspace.admin
        async with asyncio.timeout(30):
            while await admin.backlog(subjects.CALLS, subjects.CALL_ALL):  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # the server sends no word of it

    async def blobs(self) -> list[str]:
        found = await self.workspace.objects(subjects.BLOBS_BUCKET).list()
        return [info.name for info in found]


def failure_of(error: Exception) -> Failure:
    trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
    text = "".join(traceback.format_exception(type(error), error, trace))
    try:
        pickled: bytes | None = _pickling.dumps(error)
    except Exception:  # noqa: BLE001 - it is data that can't be pickled
        pickled = None
    return Failure(
        kind="exception",
        message=f"{type(error).__name__}: {error}",
        exception_type=type(error).__qualname__,
        traceback=text,
        pickled=pickled,
    )


def void(_: object) -> None:
    """Drop a result."""
