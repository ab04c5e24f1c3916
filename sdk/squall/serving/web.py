"""The HTTP routes of a service."""

import logging
from asyncio import gather
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import Body, Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from squall.exception import InvalidError, NotFoundError
from squall.serving.auth import key_check
from squall.serving.config import ServiceConfig
from squall.serving.jobs import read_job
from squall.serving.payloads import AsyncInputModel, AsyncOutputModel, Job
from squall.serving.replies import Outcome
from squall.serving.service import async_call, sync_call

_log: Final = logging.getLogger("squall.serving")

SyncFn = Callable[[str, Any], Awaitable[Outcome]]
AsyncFn = Callable[[str, AsyncInputModel[Any]], Awaitable[str]]
JobFn = Callable[[str], Awaitable[Job]]

_FAILED: Final = "the model failed on this input: the service's logs say why"


def create_web_endpoints(
    app_cls: Any,
    input_model: type[BaseModel],
    output_model: type[BaseModel],
    dependencies: Sequence[Any] = (),
) -> FastAPI:
    """The FastAPI app of a service, for a function with `@squall.asgi_app(…)`.

    `app_cls`: the InferenceService below `@app.cls(…)`. `dependencies`: FastAPI's, for every route
    but /health. AuthConfigError if the settings protect it and the keys aren't there.
    """
    config: ServiceConfig = app_cls.config
    auth = config.app_settings.auth_config
    checks = [Depends(key_check(auth))] if auth is not None else []
    return create_app(
        input_model,
        output_model,
        models=config.models,
        sync_fn=sync_call(app_cls),
        async_fn=async_call(app_cls),
        job_fn=read_job,
        dependencies=[*checks, *dependencies],
        title=config.app_name,
    )


def create_app(
    input_model: type[BaseModel],
    output_model: type[BaseModel],
    *,
    models: Sequence[str],
    sync_fn: SyncFn,
    async_fn: AsyncFn,
    job_fn: JobFn,
    dependencies: Sequence[Any] = (),
    title: str = "Inference",
) -> FastAPI:
    """The app behind `create_web_endpoints`, over any three functions that run inputs."""
    web = FastAPI(title=title)
    routes = _Routes(input_model, output_model, frozenset(models))
    shared: Any = {"dependencies": list(dependencies)}
    web.get("/health")(_health)
    web.post("/predict_sync", response_model=output_model, **shared)(routes.sync_route(sync_fn))
    web.post("/predict_async", response_model=AsyncOutputModel, **shared)(
        routes.async_route(async_fn)
    )
    web.post("/predict_batch", response_model=list[Job], **shared)(routes.batch_route(sync_fn))
    web.get("/jobs/{job_id}", response_model=Job, **shared)(routes.job_route(job_fn))
    return web


async def _health() -> dict[str, str]:
    return {"status": "ok"}


class _Routes:
    def __init__(self, input_model: Any, output_model: Any, models: frozenset[str]) -> None:
        self._input, self._output = input_model, output_model
        self._models = models

    def sync_route(self, run: SyncFn) -> Callable[..., Any]:
        async def predict_sync(message: Any, model_name: str) -> Any:
            self._check(model_name)
            outcome = await run(model_name, message)
            if outcome.output is None:
                raise HTTPException(500, _FAILED)
            return self._checked(outcome.output)

        return _taking(predict_sync, message=Annotated[self._input, Body()])

    def async_route(self, store: AsyncFn) -> Callable[..., Any]:
        async def predict_async(asked: Any, model_name: str) -> AsyncOutputModel:
            self._check(model_name)
            return AsyncOutputModel(job_id=await store(model_name, asked))

        return _taking(predict_async, asked=AsyncInputModel[self._input])  # type: ignore[name-defined]

    def batch_route(self, run: SyncFn) -> Callable[..., Any]:
        async def predict_batch(messages: Any, model_name: str) -> list[Job]:
            self._check(model_name)
            runs = [run(model_name, message) for message in messages]
            return [self._as_job(each) for each in await gather(*runs, return_exceptions=True)]

        return _taking(predict_batch, messages=Annotated[list[self._input], Body()])  # type: ignore[name-defined]

    def job_route(self, read: JobFn) -> Callable[..., Any]:
        async def jobs(job_id: str) -> Any:
            try:
                job = await read(job_id)
            except (NotFoundError, InvalidError) as error:
                raise HTTPException(404, f"there is no job {job_id}") from error
            if job.state == "pending":
                return JSONResponse(job.model_dump(), status_code=202)
            return job

        return jobs

    def _check(self, model_name: str) -> None:
        if model_name not in self._models:
            known = ", ".join(sorted(self._models))
            raise HTTPException(404, f"there is no model {model_name!r}: there are {known}")

    def _checked(self, output: dict[str, Any]) -> BaseModel:
        try:
            checked: BaseModel = self._output.model_validate(output)
        except ValidationError as error:
            name = self._output.__name__
            _log.error("the pipeline's output is no %s: %s", name, error)
            raise HTTPException(500, f"the pipeline's output is no {name}") from error
        return checked

    def _as_job(self, outcome: Outcome | BaseException) -> Job:
        if isinstance(outcome, BaseException):
            _log.error("an input of a batch was not run: %s", outcome)
            return Job(state="failed", error="this input could not be run")
        if outcome.output is None:
            return Job(state="failed", error=_FAILED)
        return Job(state="done", output=self._checked(outcome.output).model_dump(mode="json"))


def _taking(route: Callable[..., Any], **kinds: Any) -> Callable[..., Any]:
    """A route with the types of its arguments, which are known only now: FastAPI reads them."""
    route.__annotations__.update(kinds)
    return route
