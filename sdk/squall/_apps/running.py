"""Running an app: everything in place, then its functions have ids, then it stops.

Round trips after connecting: one for images and missing content, all at once, and one to start.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from squall_contracts.apps import (
    KEEP_APP_INTERVAL_S,
    AppStarted,
    DeployApp,
    KeepApp,
    StartApp,
    StopApp,
    Strategy,
)

from squall import _client, _container, _context, _sync, config
from squall._apps import replacing
from squall._apps.placing import put_in_place, together
from squall._apps.spec import Plan, plan, settle
from squall._calling.unary import Target
from squall._client import Client
from squall._console import showing
from squall._secret.sealing import check_place, with_secrets
from squall._volume.mounts import look_up
from squall.exception import Error, InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall._terminal.attending import Attendant
    from squall._terminal.keyboard import Keyboard
    from squall.app import App


_log = logging.getLogger("squall")


# --- giving functions their ids -------------------------------------------------------------------


def hydrate(app: "App", environment: str, started: AppStarted) -> None:
    app._app_id = started.app_id
    app._environment = environment
    for name, function in app.declared.items():
        function._web_urls = {
            place.removeprefix(name).lstrip("."): url
            for place, url in started.web_urls.items()
            if place == name or place.startswith(f"{name}.")
        }
        function._hydrate(
            Target(
                function_id=started.function_ids[name],
                environment=environment,
                name=name,
                is_generator=function.options.is_generator,
                retryable=function.options.goes_alone,
            )
        )


def dehydrate(app: "App") -> None:
    app._app_id = app._environment = None
    for function in app.declared.values():
        function._web_urls = {}
        function._hydrate(None)


async def deploy(
    app: "App", made: Plan, name: str, *, environment: str | None, tag: str, strategy: Strategy
) -> AppStarted:
    """Create or update the deployed app; with `recreate`, wait for the end of what it replaces.
    On the SDK loop."""
    client = await _client.connected()
    place = environment or client.environment
    settle(made, place)
    await together(
        check_place(client, made, place), put_in_place(client, made), look_up(made, place)
    )
    functions = await with_secrets(client, made)
    started = await client.control(
        DeployApp(
            environment=place,
            name=name,
            functions=functions,
            tag=tag,
            strategy=strategy,
            deployed_by=replacing.author(),
        )
    )
    hydrate(app, place, started)
    if strategy == "recreate" and started.changed:
        await replacing.replaced(client, started.app_id, started.version)
    return started


# --- one run --------------------------------------------------------------------------------------


class RunContext:
    """What `app.run()` returns: enter it with `with` or `async with`; gives the app."""

    def __init__(
        self,
        app: "App",
        *,
        name: str | None,
        detach: bool,
        environment: str | None,
        interactive: bool = False,
        keyboard: "Keyboard | None" = None,
        shape: "Callable[[Plan], None] | None" = None,
    ) -> None:
        """`keyboard`: for an interactive run; None: the terminal of this process, if it has one.
        `shape` may change what is sent to the server."""
        self._app = app
        self._name = name or app.name or "app"
        self._detach = detach
        self._environment = environment
        self._interactive = interactive
        self._keyboard = keyboard
        self._shape = shape
        self._attendant: Attendant | None = None
        self.local_files: frozenset[Path] = frozenset()
        """Absolute paths of the files here that the app was made of, once it runs."""
        self._entered = False
        self._keeper: asyncio.Task[None] | None = None
        self._show: showing.AppOutput | None = None

    def __enter__(self) -> "App":
        _sync.warn_if_blocking("app.run")
        self._check()
        opening = asyncio.run_coroutine_threadsafe(_client.connected(), _sync.sdk_loop())
        try:
            made = self._plan()
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
        try:
            _sync.run(self._stop())
        finally:
            if self._keyboard is not None:
                self._keyboard.close()
        return kind is KeyboardInterrupt

    async def __aenter__(self) -> "App":
        self._check()
        made = self._plan()
        await _sync.hop(self._start(made))
        return self._app

    async def __aexit__(self, *_: object) -> None:
        try:
            await _sync.hop(self._stop())
        finally:
            if self._keyboard is not None:
                self._keyboard.close()

    def _plan(self) -> Plan:
        made = plan(self._app)
        if self._shape is not None:
            self._shape(made)
        return made

    def _check(self) -> None:
        if _container.assignment() is not None and _context.running.get() is None:
            raise InvalidError(
                "app.run() runs again when the container imports the module: put it under "
                '`if __name__ == "__main__":` or into a local entrypoint'
            )
        if self._entered:
            raise InvalidError("a run is entered once: call app.run() again for another")
        if self._interactive:
            self._take_keyboard()
        self._entered = True

    def _take_keyboard(self) -> None:
        from squall._terminal.keyboard import Keyboard

        if showing.current() is None:
            raise InvalidError("interactive: nothing is shown: use squall.enable_output()")
        if self._keyboard is None:
            self._keyboard = Keyboard()

    async def _start(self, made: Plan) -> None:
        self.local_files = frozenset(
            content.absolute() for content in made.uploads.values() if isinstance(content, Path)
        )
        client = await _client.connected()
        place = self._environment or client.environment
        settle(made, place)
        await together(
            check_place(client, made, place),
            put_in_place(client, made),
            look_up(made, place),
            client.router.listen(place),
        )
        functions = await with_secrets(client, made)
        started = await client.control(
            StartApp(
                dev_suffix=config.dev_suffix(),
                environment=place,
                name=self._name,
                functions=functions,
                client_id=client.client_id,
                detach=self._detach,
            )
        )
        hydrate(self._app, place, started)
        if not self._detach:
            self._keeper = _sync.background(_keep(client, started.app_id))
        if self._keyboard is not None:
            from squall._terminal.attending import Attendant

            self._attendant = Attendant(client, started.app_id, self._keyboard)
            await self._attendant.open()
        output = showing.current()
        if output is not None:
            output.app_started(self._name, started.app_id)
            for endpoint, url in sorted(started.web_urls.items()):
                output.web_url(endpoint, url)
            self._show = showing.AppOutput(client, output, place, started.app_id)
            _sync.background(self._show.run())

    async def _stop(self) -> None:
        app_id = self._app.app_id
        dehydrate(self._app)
        if self._keeper is not None:
            self._keeper.cancel()
            self._keeper = None
        client = _client.current()
        if self._attendant is not None:
            await self._attendant.close()
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
