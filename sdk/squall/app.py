"""Apps: a set of functions that run, or are deployed, together."""

from collections.abc import (
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from squall_contracts.apps import StopApp

from squall import _client, _sync, _validate
from squall._apps import looking_up
from squall._declaring.declared import LocalEntrypoint
from squall._declaring.registering import Declaring
from squall._modal.handle import HISTORY, Absent, Page, shown_at
from squall._modal.spellings import old_spelling
from squall._volume.mounts import checked
from squall.exception import InvalidError
from squall.function import Function

if TYPE_CHECKING:
    from squall_contracts.dead import DeadLetter as Entry

    from squall._apps.running import RunContext
    from squall._volume.mounts import Mounted
    from squall.dead_letters import DeadLetters
    from squall.image import Image
    from squall.logs import Logs
    from squall.secret import Secret
    from squall.types import AppInfo

__all__ = ["App", "LocalEntrypoint"]

P = ParamSpec("P")
R = TypeVar("R")


class App(Declaring):
    """A set of functions. `with app.run():` runs them while the block lasts, `app.deploy()` for
    good."""

    def __init__(
        self,
        name: str | None = None,
        *,
        tags: Mapping[str, str] | None = None,
        image: "Image | None" = None,
        secrets: "Sequence[Secret]" = (),
        volumes: "Mapping[str, Mounted] | Mapping[PurePosixPath, Mounted] | None" = None,
        include_source: bool = True,
    ) -> None:
        """`name`: 1 to 64 letters, digits, `-`, `_`, `.`; needed to deploy. `image`: for functions
        that name none; None: Debian with this Python. `secrets`: for all functions, before their
        own. `volumes`: by mount path, in all its functions. InvalidError names a field at fault."""
        if name is not None:
            _validate.object_name("name", name)
        from squall.secret import check_list

        self._secrets = check_list("secrets", secrets)
        self._volumes = checked(volumes or {})
        if image is not None:
            from squall.image import Image

            if not isinstance(image, Image):
                raise InvalidError(f"image must be a squall.Image, not {type(image).__name__}")
        self._name = name
        self._tags = _validate.labels("tags", tags or {})
        self._image = image
        self._include_source = _validate.truth("include_source", include_source)
        self._functions: dict[str, Function[Any, Any, Any]] = {}
        self._entrypoints: dict[str, LocalEntrypoint[Any, Any]] = {}
        self._included_in: list[App] = []
        self._app_id: str | None = None
        self._environment: str | None = None
        self._serializing = False

    lookup = _sync.synced_function(looking_up.lookup)
    """`App.lookup(name, *, environment_name=None, create_if_missing=False)`: a deployed app by its
    name, or any that runs by its id."""

    def _app(self) -> "App":
        return self

    # --- what it is ----------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def description(self) -> str | None:
        """As `name`."""
        return self._name

    @property
    def app_id(self) -> str | None:
        """Its id while it runs or once it is deployed; None otherwise."""
        return self._app_id

    @property
    def image(self) -> "Image | None":
        return self._image

    @property
    def volumes(self) -> "dict[str, Mounted]":
        """By mount path, for all its functions."""
        return dict(self._volumes)

    @property
    def include_source(self) -> bool:
        return self._include_source

    @property
    def secrets(self) -> "tuple[Secret, ...]":
        """Those of all its functions, before their own."""
        return self._secrets

    @property
    def declared(self) -> dict[str, Function[Any, Any, Any]]:
        """Its functions and classes by name, as they are sent to a server."""
        return dict(self._functions)

    @property
    def functions(self) -> dict[str, Function[Any, Any, Any]]:
        """Its functions by name."""
        return {name: each for name, each in self._functions.items() if not each.options.methods}

    @property
    def entrypoints(self) -> dict[str, LocalEntrypoint[Any, Any]]:
        """Its local entrypoints by name."""
        return dict(self._entrypoints)

    @property
    def registered_classes(self) -> dict[str, "Function[Any, Any, Any]"]:
        """Its classes by name, as they are sent to a server."""
        return {name: each for name, each in self._functions.items() if each.options.methods}

    @property
    def registered_web_endpoints(self) -> list[str]:
        """The names of those that answer web requests, a class's as `Class.method`."""
        named = [name for name, each in self._functions.items() if each.options.web is not None]
        return named + [
            f"{name}.{method.name}"
            for name, each in self._functions.items()
            for method in each.options.methods
            if method.web is not None
        ]

    @property
    def registered_functions(self) -> dict[str, Function[Any, Any, Any]]:
        return self.functions

    @property
    def registered_entrypoints(self) -> dict[str, LocalEntrypoint[Any, Any]]:
        return self.entrypoints

    @property
    def is_serializing(self) -> bool:
        """Whether its functions are being pickled to be shipped."""
        return self._serializing

    @contextmanager
    def serializing(self) -> Iterator[None]:
        """While its functions are pickled they may refer to each other by name."""
        apps = [self, *self._included_in]
        for app in apps:
            app._serializing = True
        try:
            yield
        finally:
            for app in apps:
                app._serializing = False

    def goes_by(self, name: str) -> bool:
        """Whether it, or an app it is part of, has that name."""
        return self._name == name or any(app.goes_by(name) for app in self._included_in)

    def __repr__(self) -> str:
        return f"App({self._name!r})"

    def __reduce__(self) -> tuple[type["App"], tuple[str | None]]:
        return App, (self._name,)

    def include(self, other_app: "App", inherit_tags: bool = True) -> Self:
        """Take in another app's functions; they run and are deployed with this one."""
        if not isinstance(other_app, App):
            raise InvalidError(f"include needs an App, not {type(other_app).__name__}")
        for name, function in other_app._functions.items():
            known = self._functions.get(name)
            if known is not None and known is not function:
                raise InvalidError(f"both apps have a function named {name!r}: rename one")
            self._functions[name] = function
        other_app._included_in.append(self)
        if inherit_tags:
            self._tags = {**other_app._tags, **self._tags}
        return self

    def get_tags(self, *, client: object = None) -> dict[str, str]:
        """What it was tagged with in this process."""
        return dict(self._tags)

    def set_tags(self, tags: Mapping[str, str], *, client: object = None) -> None:
        """Tag it with these alone, for this process. InvalidError for a bad key or value."""
        self._tags = _validate.labels("tags", tags)

    @_sync.synced
    async def info(self, refresh: bool = False) -> "AppInfo":
        """What the server knows of it. ExecutionError if it neither runs nor was deployed or looked
        up here."""
        from squall.experimental import app_info, found_app

        client = await _client.connected()
        return app_info(await found_app(client, self._running_id()))

    stats = Absent(HISTORY)
    sandboxes = Absent("Sandbox.list(app_id=app.app_id) gives them")

    @_sync.synced
    async def get_dashboard_url(self) -> str:
        """The address of its page in the server's dashboard, which `squall dashboard` signs in to.
        ExecutionError if it neither runs nor was deployed or looked up here; NotFoundError where the
        server has no dashboard."""
        return await shown_at(Page(f"apps/{self._running_id()}", self._environment))

    @property
    def logs(self) -> "Logs":
        """What its containers print, while it runs or once it was looked up."""
        from squall_contracts.subjects import logs_of_app

        from squall.logs import Logs

        async def place(client: _client.Client) -> str:
            return logs_of_app(self._environment or client.environment, self._running_id())

        return Logs(place)

    def _running_id(self) -> str:
        from squall.exception import ExecutionError

        if self._app_id is None:
            raise ExecutionError(f"{self!r} neither runs nor was deployed by this process")
        return self._app_id

    # --- running -------------------------------------------------------------------------------

    def run(
        self,
        *,
        name: str | None = None,
        detach: bool = False,
        environment_name: str | None = None,
        interactive: bool = False,
        client: object = None,
        show_progress: bool | None = None,
    ) -> "RunContext":
        """Run the app while a `with` (or `async with`) block lasts; then its containers stop.

        `detach`: it goes on after the block, and after this process. `interactive`: its containers
        may use this terminal, by `interact()` and `breakpoint()`; needs `enable_output()`. Entering raises
        ConnectionError, AuthError, ImageBuildError, or InvalidError for a declaration at fault.
        """
        from squall._apps.running import RunContext

        if show_progress is not None:
            old_spelling("run(show_progress=…)", "with squall.enable_output(): …")
        return RunContext(
            self,
            name=name if name is None else _validate.object_name("name", name),
            detach=_validate.truth("detach", detach),
            interactive=_validate.truth("interactive", interactive),
            environment=environment_name
            if environment_name is None
            else _validate.environment_name(environment_name),
        )

    @property
    def deploy(self) -> "Deploy":
        """`deploy(*, name=None, environment_name=None, tag="", strategy="rolling")`: keep the app's
        functions available until `stop`; updates what an earlier deploy of that name left. Returns
        the app."""
        return Deploy(self)

    @property
    def dead_letters(self) -> "DeadLetters":
        """Its inputs that failed for good, in the environment it runs in or the configured one:
        of this run, or of the deployed app of its name."""
        from squall.dead_letters import DeadLetters

        def belongs(entry: "Entry") -> bool:
            return entry.app_id == self._app_id if self._app_id else entry.app_name == self._name

        return DeadLetters(environment_name=self._environment, belongs=belongs)

    @_sync.synced
    async def stop(self) -> None:
        """Stop the app's containers and drop its calls. ExecutionError if it doesn't run."""
        app_id = self._running_id()
        client = await _client.connected()
        await client.control(StopApp(app_id=app_id))


class Deploy:
    def __init__(self, app: App) -> None:
        self._app = app

    def __call__(
        self,
        *,
        name: str | None = None,
        environment_name: str | None = None,
        tag: str = "",
        client: object = None,
        strategy: str = "rolling",
    ) -> App:
        from squall import runner

        runner.deploy_app(
            self._app, name=name, environment_name=environment_name, tag=tag, strategy=strategy
        )
        return self._app

    async def aio(
        self,
        *,
        name: str | None = None,
        environment_name: str | None = None,
        tag: str = "",
        client: object = None,
        strategy: str = "rolling",
    ) -> App:
        from squall import runner

        await runner.deploy_app.aio(
            self._app, name=name, environment_name=environment_name, tag=tag, strategy=strategy
        )
        return self._app
