"""Functions: what `@app.function` makes of a function, and handles of deployed ones."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, cast

from squall_contracts.apps import FindFunction
from squall_contracts.functions import Variant

from squall import _client, _container, _sync, _validate
from squall._calling.forms import (
    ForEach,
    Map,
    Remote,
    RemoteGen,
    Spawn,
    SpawnMap,
    SpawnMapCall,
    Starmap,
)
from squall._calling.unary import Target
from squall._declaring.varying import Varying
from squall._modal.handle import HISTORY, Absent, Handle, Page, newest_only
from squall._modal.old_function import OldSpellings
from squall.autoscaler import Autoscaler, AutoscalerSettings, FunctionStats, change, stats
from squall.exception import ExecutionError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall._client import Client
    from squall._declaring.options import Options
    from squall.app import App
    from squall.logs import Logs
    from squall.types import FunctionInfo

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - what the user's own function returns: R, a coroutine, a generator


class Function(Handle, Varying["Function[P, R, O]"], OldSpellings, Generic[P, R, O]):
    """A function that can run in containers. `f(x)` and `f.local(x)` run it right here.

    `f.remote(x)` waits for a container's result, `f.spawn(x)` doesn't wait, `f.map(xs)` runs many
    inputs at once, `f.remote_gen(x)` yields a generator's items. Each has its coroutine at `.aio`.
    """

    remote: Remote[P, R]
    remote_gen: RemoteGen[P, R]
    spawn: Spawn[P, R]
    map: Map[R]
    starmap: Starmap[R]
    for_each: ForEach
    spawn_map: SpawnMap
    experimental_spawn_map: SpawnMapCall[R]

    def __init__(self) -> None:
        raise InvalidError("a Function comes from @app.function() or Function.from_name(…)")

    @classmethod
    def _new(
        cls,
        name: str,
        *,
        app: "App | None" = None,
        raw: Callable[..., Any] | None = None,
        options: "Options | None" = None,
    ) -> "Function[Any, Any, Any]":
        made: Function[Any, Any, Any] = cls.__new__(cls)
        made._name = name
        made._app = app
        made._raw = raw
        made._options = options
        made._target = None
        made._found_by = None
        made._ready = None
        made._web_urls = {}
        for field in ("__doc__", "__module__", "__qualname__", "__wrapped__"):
            if raw is not None and hasattr(raw, field):
                setattr(made, field, getattr(raw, field))
        made.remote = Remote(made)
        made.remote_gen = RemoteGen(made)
        made.spawn = Spawn(made)
        made.map = Map(made)
        made.starmap = Starmap(made)
        made.for_each = ForEach(made)
        made.spawn_map = SpawnMap(made)
        made.experimental_spawn_map = SpawnMapCall(made)
        return made

    _name: str
    _app: "App | None"
    _raw: Callable[..., Any] | None
    _options: "Options | None"
    _target: Target | None
    _found_by: FindFunction | None
    _ready: "tuple[Client, Target] | None"
    _web_urls: dict[str, str]
    """By method; the empty name is the function itself."""

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: object = None,
    ) -> "Function[..., Any, Any]":
        """The deployed function of that app and name. Looked up on use: NotFoundError then. What is
        called is the version deployed last: InvalidError for a `version`."""
        newest_only(version)
        _validate.object_name("app_name", app_name)
        if "." in str(name):
            raise InvalidError(f"{name!r} looks like a method: look up its class instead")
        _validate.object_name("name", name)
        if environment_name is not None:
            _validate.environment_name(environment_name)
        made = cls._new(name)
        made._found_by = FindFunction(environment=environment_name or "", app=app_name, name=name)
        return made

    from_id = Absent("use from_name(app_name, name)")

    # --- what it is ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._name

    @property
    def app(self) -> "App | None":
        """The app it was declared in here; None for one that was looked up."""
        return self._app

    @property
    def raw(self) -> Callable[..., Any]:
        """The user's own function. ExecutionError for one that was looked up."""
        if self._raw is None:
            raise ExecutionError(f"{self._name} was looked up by name: it can't run locally")
        return self._raw

    def get_raw_f(self) -> Callable[..., Any]:
        """As `raw`."""
        return self.raw

    @property
    def options(self) -> "Options":
        """What its decorator said. ExecutionError for one that was looked up."""
        if self._options is None:
            raise ExecutionError(f"{self._name} was looked up by name: its options aren't here")
        return self._options

    @property
    def is_generator(self) -> bool:
        """Whether it yields. ExecutionError for one looked up and not yet hydrated."""
        if self._options is not None:
            return self._options.is_generator
        if self._target is None:
            raise ExecutionError(f"{self._name} was not looked up yet: call hydrate() first")
        return self._target.is_generator

    @property
    def object_id(self) -> str:
        """Its id. AttributeError until its app runs or is deployed, or it was looked up."""
        target = self._target or self._in_container()
        if target is None:
            raise AttributeError(f"{self._name} has no object_id before its app runs")
        return target.function_id

    def __repr__(self) -> str:
        return f"Function({self._name!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._found_by is not None and self._target is None:
            found = self._found_by
            return _by_name, (found.app, found.name, found.environment or None)
        target = self._target or self._in_container()
        if target is not None:
            return _by_target, tuple(target)
        if self._app is not None and self._app.is_serializing:
            return _by_app, (self._app.name, self._name, self.options.is_generator)
        raise InvalidError(f"{self._name} can't be pickled before its app runs")

    # --- finding its id ------------------------------------------------------------------------

    def _hydrate(self, target: Target | None) -> None:
        """Its app now runs under these ids, or no longer does (None)."""
        self._target = target
        self._ready = None

    def _in_container(self) -> Target | None:
        assignment = _container.assignment()
        function_id = _container.function_id(self)
        if assignment is None or function_id is None:
            return None
        return Target(
            function_id=function_id,
            environment=assignment.environment,
            name=self._name,
            is_generator=self.options.is_generator,
            retryable=self.options.goes_alone,
        )

    async def _connected(self) -> "Client":
        """The connection. ExecutionError first, if its app doesn't run: no server could help."""
        if not self._can_resolve():
            raise self._unhydrated()
        return await _client.connected()

    def _can_resolve(self) -> bool:
        """Whether it runs somewhere, or was given by the name it can be looked up with."""
        return (self._found_by or self._target or self._in_container()) is not None

    def _unhydrated(self) -> ExecutionError:
        return ExecutionError(
            f"{self._name} has not been hydrated: call it inside `with app.run():`, through "
            "`squall run`, or deploy its app and look it up with Function.from_name"
        )

    async def _resolve(self, client: "Client") -> Target:
        """Where its inputs go. ExecutionError if its app doesn't run; NotFoundError."""
        target = self._target or self._in_container()
        if target is None and self._found_by is not None:
            found = await client.control(
                FindFunction(
                    environment=self._found_by.environment or client.environment,
                    app=self._found_by.app,
                    name=self._found_by.name,
                )
            )
            if found.methods:
                raise NotFoundError(
                    f"{self._name} is a class: look it up with squall.Cls.from_name"
                )
            self._web_urls = found.web_urls
            target = Target(
                found.function_id,
                found.environment,
                self._name,
                found.is_generator,
                found.retryable,
            )
        if target is None:
            raise self._unhydrated()
        self._target = target
        return target

    async def _prepare(self) -> "tuple[Client, Target]":
        client = await self._connected()
        target = await self._resolve(client)
        if self._answers_web():
            raise InvalidError(
                f"{self.name} is a web endpoint: it takes requests at its get_web_url(), not calls"
            )
        await client.router.listen(target.environment)
        self._ready = client, target
        return self._ready

    def _prepared(self) -> "tuple[Client, Target] | None":
        """Connection and target where both are known and good: no hop is needed then."""
        ready = self._ready
        return ready if ready is not None and ready[0] is _client.current() else None

    def _answers_web(self) -> bool:
        """Whether web requests run it. Known once it was looked up."""
        if self._options is not None:
            return self._options.web is not None
        return "" in self._web_urls

    @_sync.synced
    async def get_web_url(self) -> str | None:
        """The address of a web endpoint; None for any other function. ExecutionError before its app
        runs, NotFoundError."""
        return await self._web_url()

    async def _web_url(self) -> str | None:
        if self._options is not None and self._options.web is None:
            return None
        if not self._web_urls:
            client = await self._connected()
            target = await self._resolve(client)
            app = _container.assignment()
            if app is not None and self._app is not None:  # of this container's own app
                wanted = FindFunction(
                    environment=target.environment, app=app.app_name, name=self._name
                )
                self._web_urls = (await client.control(wanted)).web_urls
        return self._web_urls.get("")

    async def _page(self) -> Page:
        target = await self._resolve(await self._connected())
        return Page(f"functions/{target.function_id}", target.environment)

    @_sync.synced
    async def hydrate(self, client: object = None) -> Self:
        """Look it up now. NotFoundError, ExecutionError."""
        await self._resolve(await self._connected())
        return self

    def _varied(self, more: Variant) -> "Function[P, R, O]":
        from squall._declaring.varied_function import VariedFunction

        return VariedFunction._of(self, more)

    # --- its containers ------------------------------------------------------------------------

    @property
    def autoscaler(self) -> Autoscaler:
        """Reads and changes how many containers it has."""
        return Autoscaler(self)

    @_sync.synced
    async def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> AutoscalerSettings:
        """Change what is named, until the next deploy; scaledown_window in seconds. InvalidError."""
        return await change(
            self,
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
        )

    @_sync.synced
    async def info(self, *, refresh: bool = False) -> "FunctionInfo":
        """What is known of it. ExecutionError before its app runs, NotFoundError."""
        from squall.types import FunctionInfo

        target = await self._resolve(await self._connected())
        found = self._found_by
        home = self._app.name if self._app is not None else None
        return FunctionInfo(
            name=self.name,
            object_id=target.function_id,
            app_name=home if found is None else found.app,
            is_generator=self.is_generator,
            web_url=await self._web_url(),
        )

    stats = Absent(HISTORY)
    metrics = Absent(HISTORY)

    @property
    def logs(self) -> "Logs":
        """What its containers print."""
        from squall_contracts.viewing_subjects import logs_of_function_of_any_app

        from squall.logs import Logs

        async def place(client: "Client") -> str:
            target = await self._resolve(client)
            return logs_of_function_of_any_app(target.environment, target.function_id)

        return Logs(place)

    @_sync.synced
    async def get_current_stats(self) -> FunctionStats:
        """How it fares right now."""
        return await stats(self)

    # --- running it here -----------------------------------------------------------------------

    def local(self, *args: P.args, **kwargs: P.kwargs) -> O:
        """Run it here, in this process; a coroutine function gives its coroutine."""
        return cast(O, self.raw(*args, **kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> O:
        return cast(O, self.raw(*args, **kwargs))


def _by_name(app: str, name: str, environment: str | None) -> Function[..., Any, Any]:
    return Function.from_name(app, name, environment_name=environment)


def _by_target(*target: Any) -> Function[..., Any, Any]:
    where = Target(*target)
    made = Function._new(where.name)
    made._target = where
    return made


def _by_app(app: str, name: str, is_generator: bool) -> Function[..., Any, Any]:
    """In a container, for a pickled function that calls its siblings: found by their name."""
    assignment = _container.assignment()
    if assignment is None or name not in assignment.function_ids:
        raise ExecutionError(f"{name} belongs to the app {app!r}, which does not run here")
    return _by_target(
        assignment.function_ids[name], assignment.environment, name, is_generator, True
    )
