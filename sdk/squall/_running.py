"""Running an app: everything in place, then its functions have ids, then it stops.

Round trips after connecting: one for images and missing content, all at once, and one to start.
"""

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from squall_contracts import subjects
from squall_contracts.apps import (
    KEEP_APP_INTERVAL_S,
    AppStarted,
    DeployApp,
    KeepApp,
    StartApp,
    StopApp,
)
from squall_contracts.images import (
    BuildEnded,
    BuildLine,
    BuildNews,
    EnsureImage,
    ImageStatus,
    Recipe,
)
from squall_contracts.message import decode, encode

from squall import _client, _container, _context, _output, _sync
from squall._client import Client, translated
from squall._image.files import Content
from squall._spec import Plan, plan
from squall._unary import Target
from squall.exception import Error, ImageBuildError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall_bus.bus import Delivery

    from squall.app import App
    from squall.image import ResolvedImage

_UPLOADS_AT_ONCE = 32
_ASK_AGAIN_S = 20.0
"""A build's end is unstored news: ask now and then, lest it was missed while reconnecting."""

_log = logging.getLogger("squall")


# --- getting everything in place ------------------------------------------------------------------


async def put_in_place(client: Client, made: Plan) -> None:
    """Images built and content uploaded, all at once; ImageBuildError."""
    context = _context_digests(made)
    first = {sha: made.uploads[sha] for sha in made.uploads if sha in context}
    rest = {sha: made.uploads[sha] for sha in made.uploads if sha not in context}
    async with translated():
        await _together(
            _upload(client, rest),
            _after(
                _upload(client, first),
                *(_ensure_image(client, each) for each in made.images.values()),
            ),
        )


async def _after(first: Coroutine[Any, Any, None], *then: Coroutine[Any, Any, None]) -> None:
    """A build needs its context: upload, then build; images without one don't wait for long."""
    try:
        await first
    except BaseException:
        for each in then:
            each.close()
        raise
    await _together(*then)


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """All at once; the first failure ends the others and is raised itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _context_digests(made: Plan) -> set[str]:
    """Content that builds read, told from what containers read by the recipes that name it."""
    recipes = [encode(resolved.recipe) for resolved in made.images.values()]
    return {sha for sha in made.uploads if any(sha.encode() in recipe for recipe in recipes)}


async def _upload(client: Client, uploads: dict[str, Content]) -> None:
    """Put what is missing in the code store; asks for all of it at once."""
    slots = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def one(sha256: str, content: Content) -> None:
        async with slots:
            if await client.code.info(sha256) is None:
                if not isinstance(content, bytes):
                    content = await asyncio.to_thread(content.read_bytes)
                await client.code.put(sha256, content)

    await _together(*(one(sha, content) for sha, content in uploads.items()))


async def _ensure_image(client: Client, resolved: "ResolvedImage") -> None:
    image_id = resolved.image_id
    ended: asyncio.Future[BuildEnded] = asyncio.get_running_loop().create_future()
    output = _output.current()

    def hear(delivery: "Delivery") -> None:
        news: BuildLine | BuildEnded = decode(delivery.data, BuildNews)  # type: ignore[arg-type]
        if isinstance(news, BuildLine):
            if output is not None:
                output.build_line(news)
        elif not ended.done():
            ended.set_result(news)

    # Listening goes out before the question, on the same connection: no news is missed.
    listening = asyncio.ensure_future(client.bus.subscribe(subjects.down_build(image_id), hear))
    await asyncio.sleep(0)
    try:
        status = await client.control(EnsureImage(recipe=resolved.recipe))
        if status.state == "building":
            if output is not None:
                output.build_started(image_id)
            status = await _built(client, resolved.recipe, ended)
            if output is not None:
                output.build_ended(image_id, status.state)
    finally:
        _sync.background(_stop_listening(listening))
    if status.state == "failed":
        raise build_error(status)


async def _stop_listening(listening: "asyncio.Future[Any]") -> None:
    subscription = await listening
    await subscription.close()


async def _built(
    client: Client, recipe: Recipe, ended: "asyncio.Future[BuildEnded]"
) -> ImageStatus:
    while True:
        done, _ = await asyncio.wait([ended], timeout=_ASK_AGAIN_S)
        if done:
            news = ended.result()
            return ImageStatus(
                image_id=news.image_id,
                state=news.state,
                failed_step=news.failed_step,
                error=news.error,
                log_tail=news.log_tail,
            )
        status = await client.control(EnsureImage(recipe=recipe))
        if status.state != "building":
            return status


def build_error(status: ImageStatus) -> ImageBuildError:
    """One line on what failed, then the end of the log."""
    step = f" at {status.failed_step!r}" if status.failed_step else ""
    text = f"image {status.image_id} does not build{step}: {status.error or 'see its log'}"
    if status.log_tail:
        text += f"\n{status.log_tail.rstrip()}"
    return ImageBuildError(
        text,
        image_id=status.image_id,
        failed_step=status.failed_step,
        log_tail=status.log_tail,
    )


# --- giving functions their ids -------------------------------------------------------------------


def hydrate(app: "App", environment: str, started: AppStarted) -> None:
    app._app_id = started.app_id
    for name, function in app.functions.items():
        function._hydrate(
            Target(
                function_id=started.function_ids[name],
                environment=environment,
                name=name,
                is_generator=function.options.is_generator,
                retryable=function.options.retry is not None,
            )
        )


def dehydrate(app: "App") -> None:
    app._app_id = None
    for function in app.functions.values():
        function._hydrate(None)


async def deploy(
    app: "App", made: Plan, name: str, environment: str | None, tag: str
) -> AppStarted:
    """Create or update the deployed app. On the SDK loop."""
    client = await _client.connected()
    place = environment or client.environment
    await put_in_place(client, made)
    started = await client.control(
        DeployApp(environment=place, name=name, functions=tuple(made.functions), tag=tag)
    )
    hydrate(app, place, started)
    return started


# --- one run --------------------------------------------------------------------------------------


class RunContext:
    """What `app.run()` returns: enter it with `with` or `async with`; gives the app."""

    def __init__(
        self, app: "App", *, name: str | None, detach: bool, environment: str | None
    ) -> None:
        self._app = app
        self._name = name or app.name or "app"
        self._detach = detach
        self._environment = environment
        self._keeper: asyncio.Task[None] | None = None
        self._show: _output.AppOutput | None = None

    def __enter__(self) -> "App":
        _sync.warn_if_blocking("app.run")
        self._check()
        opening = asyncio.run_coroutine_threadsafe(_client.connected(), _sync.sdk_loop())
        try:
            made = plan(self._app)
        except BaseException:
            opening.cancel()
            raise
        opening.result()
        _sync.run(self._start(made))
        return self._app

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        _sync.run(self._stop())
        return kind is KeyboardInterrupt

    async def __aenter__(self) -> "App":
        self._check()
        made = plan(self._app)
        await _sync.hop(self._start(made))
        return self._app

    async def __aexit__(self, *_: object) -> None:
        await _sync.hop(self._stop())

    def _check(self) -> None:
        if _container.assignment() is not None and _context.running.get() is None:
            raise InvalidError(
                "app.run() runs again when the container imports the module: put it under "
                '`if __name__ == "__main__":` or into a local entrypoint'
            )
        if self._app.app_id is not None and self._keeper is not None:
            raise InvalidError(f"{self._app!r} runs already: use a run once")

    async def _start(self, made: Plan) -> None:
        client = await _client.connected()
        place = self._environment or client.environment
        await _together(put_in_place(client, made), client.router.listen(place))
        started = await client.control(
            StartApp(
                environment=place,
                name=self._name,
                functions=tuple(made.functions),
                client_id=client.client_id,
                detach=self._detach,
            )
        )
        hydrate(self._app, place, started)
        if not self._detach:
            self._keeper = _sync.background(_keep(client, started.app_id))
        output = _output.current()
        if output is not None:
            output.app_started(self._name, started.app_id)
            self._show = _output.AppOutput(client, output, place, started.app_id)
            _sync.background(self._show.run())

    async def _stop(self) -> None:
        app_id = self._app.app_id
        dehydrate(self._app)
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        client = _client.current()
        try:
            if client is not None and app_id is not None and not self._detach:
                await _stop_app(client, app_id)
        finally:
            if self._show is not None:
                await self._show.finish(stopped=not self._detach)


async def _stop_app(client: Client, app_id: str) -> None:
    try:
        await client.control(StopApp(app_id=app_id))
    except NotFoundError as error:
        _log.info("%s had stopped already: %s", app_id, error)


async def _keep(client: Client, app_id: str) -> None:
    """Tell the gateway that we live, until cancelled or it knows the app no more."""
    while True:
        await asyncio.sleep(KEEP_APP_INTERVAL_S)
        try:
            await client.control(KeepApp(app_id=app_id))
        except NotFoundError:
            _log.warning("%s was stopped from outside", app_id)
            return
        except Error as error:
            _log.warning("%s could not be kept alive, trying again: %s", app_id, error)
