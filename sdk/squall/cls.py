"""Classes: what `@app.cls` makes of a class, and handles of deployed ones."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, ParamSpec, Self, TypeVar, cast

from squall_contracts.apps import FindFunction
from squall_contracts.functions import MethodSpec, ParameterSpec, Variant

from squall import _client, _container, _sync, _validate
from squall._calling.pools import Bindings, Instance, Pool
from squall._calling.unary import Target
from squall._declaring import parameters, variants
from squall._declaring.varying import Varying
from squall._modal.handle import Handle, Page, newest_only
from squall._modal.spellings import old_spelling
from squall.exception import ExecutionError, InvalidError, NotFoundError
from squall.function import Function

if TYPE_CHECKING:
    from squall._client import Client
    from squall._declaring.lifecycle import Parts
    from squall.app import App

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - as in squall.function


class Shape(NamedTuple):
    """A class that can be called: where it is, and what it has."""

    target: Target
    methods: dict[str, MethodSpec]
    parameters: tuple[ParameterSpec, ...]


class Cls(Handle, Varying["Cls"]):
    """Stands in for a class: `C(**parameters)` is an instance whose methods are Functions."""

    def __init__(self) -> None:
        raise InvalidError("a Cls comes from @app.cls() or Cls.from_name(…)")

    _function: Function[Any, Any, Any]
    _parts: "Parts | None"
    _found_by: FindFunction | None
    _shape: Shape | None
    _variant: Variant | None
    _bindings: Bindings

    @classmethod
    def _new(
        cls,
        function: Function[Any, Any, Any],
        *,
        parts: "Parts | None" = None,
        found_by: FindFunction | None = None,
        shape: Shape | None = None,
        variant: Variant | None = None,
    ) -> Self:
        made = cls.__new__(cls)
        made._function = function
        made._parts = parts
        made._found_by = found_by
        made._shape = shape
        made._variant = variant
        made._bindings = Bindings()
        if parts is not None:
            made.__doc__ = parts.kind.__doc__
            made.__module__ = parts.kind.__module__
        return made

    @classmethod
    def from_name(
        cls,
        app_name: str,
        name: str,
        *,
        version: int | None = None,
        environment_name: str | None = None,
        client: object = None,
    ) -> Self:
        """The deployed class of that app and name. Looked up on use: NotFoundError then. `version`:
        see `Function.from_name`."""
        newest_only(version)
        _validate.object_name("app_name", app_name)
        _validate.object_name("name", name)
        if environment_name is not None:
            _validate.environment_name(environment_name)
        found_by = FindFunction(environment=environment_name or "", app=app_name, name=name)
        return cls._new(Function._new(name), found_by=found_by)

    @classmethod
    def lookup(
        cls,
        app_name: str,
        name: str,
        *,
        environment_name: str | None = None,
        client: object = None,
    ) -> "Cls":
        """The old spelling of `from_name`, which looks it up at once. NotFoundError."""
        old_spelling("Cls.lookup", "Cls.from_name")
        return cls.from_name(app_name, name, environment_name=environment_name).hydrate()

    # --- what it is ----------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self._function.name

    @property
    def app(self) -> "App | None":
        """The app it was declared in here; None for one that was looked up."""
        return self._function.app

    @property
    def object_id(self) -> str:
        """Its id. AttributeError until its app runs or is deployed, or it was looked up."""
        if self._shape is not None:
            return self._shape.target.function_id
        return self._function.object_id

    @property
    def parts(self) -> "Parts":
        """What there is in the class. ExecutionError for one that was looked up."""
        if self._parts is None:
            raise ExecutionError(f"{self.name} was looked up by name: it can't run locally")
        return self._parts

    @property
    def user_class(self) -> type:
        """The class itself. ExecutionError for one that was looked up."""
        return self.parts.kind

    def _varied(self, more: Variant) -> "Cls":
        variant = variants.merged(self._variant, more)
        if self._parts is not None:
            variants.check(self._function.options, variant)
        return Cls._new(
            self._function,
            parts=self._parts,
            found_by=self._found_by,
            shape=self._shape,
            variant=variant,
        )

    def __call__(self, *args: object, **chosen: Any) -> Any:
        """An instance with these parameters. TypeError, InvalidError for one that doesn't fit."""
        if args:
            raise TypeError(f"{self.name}() takes its parameters by keyword")
        if self._parts is None and self._shape is None:
            return Instance(Pool(self, chosen))
        specs = self._shape.parameters if self._parts is None else self._parts.parameters  # type: ignore[union-attr]
        return Instance(Pool(self, parameters.chosen(self.name, specs, chosen)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self._parts is None:
            raise AttributeError(f"{self!r} has no attribute {name!r}")
        if name in self._parts.methods:
            raise AttributeError(f"{name} needs an instance: {self.name}(…).{name}")
        return getattr(self._parts.kind, name)

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (self.user_class,)

    def __repr__(self) -> str:
        return f"Cls({self.name!r})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        if self._variant is not None:
            return _with_variant, (self._plain(), self._variant)
        if self._found_by is not None:
            found = self._found_by
            return _by_name, (found.app, found.name, found.environment or None)
        shape = self._known()
        if shape is not None:
            return _by_shape, (tuple(shape.target), shape.methods, shape.parameters)
        app, parts = self.app, self._parts
        if app is not None and parts is not None and app.is_serializing:
            return _by_app, (app.name, self.name, parts.specs, parts.parameters)
        raise InvalidError(f"{self.name} can't be pickled before its app runs")

    def _plain(self) -> "Cls":
        """As it was declared or looked up."""
        return Cls._new(
            self._function, parts=self._parts, found_by=self._found_by, shape=self._shape
        )

    # --- finding its id ------------------------------------------------------------------------

    def _known(self) -> Shape | None:
        """Where it is, if that needs no look-up."""
        if self._shape is not None or self._parts is None:
            return self._shape
        target = self._function._target or self._function._in_container()
        if target is None:
            return None
        return Shape(target, self._parts.specs, self._parts.parameters)

    async def _resolve(self, client: "Client") -> Shape:
        """ExecutionError if its app doesn't run; NotFoundError."""
        shape = self._known()
        if shape is not None:
            return shape
        if self._found_by is None:
            raise self._unhydrated()
        wanted = self._found_by
        found = await client.control(
            FindFunction(
                environment=wanted.environment or client.environment,
                app=wanted.app,
                name=wanted.name,
            )
        )
        if not found.methods:
            raise NotFoundError(f"{self.name} is a function: look it up with Function.from_name")
        target = Target(found.function_id, found.environment, self.name, False, found.retryable)
        methods = {method.name: method for method in found.methods}
        self._function._web_urls = found.web_urls
        self._shape = Shape(target, methods, found.parameters)
        return self._shape

    def _can_resolve(self) -> bool:
        """Whether it runs somewhere, or was given by the name it can be looked up with."""
        return self._found_by is not None or self._known() is not None

    def _unhydrated(self) -> ExecutionError:
        return ExecutionError(
            f"{self.name} has not been hydrated: call it inside `with app.run():`, through "
            "`squall run`, or deploy its app and look it up with Cls.from_name"
        )

    async def _page(self) -> Page:
        if not self._can_resolve():
            raise self._unhydrated()
        target = (await self._resolve(await _client.connected())).target
        return Page(f"functions/{target.function_id}", target.environment)

    @_sync.synced
    async def hydrate(self, client: object = None) -> "Cls":
        """Look it up now. NotFoundError; ExecutionError before a server is looked for."""
        if not self._can_resolve():
            raise self._unhydrated()
        await self._resolve(await _client.connected())
        return self


class BoundMethod(Function[P, R, O]):
    """A method of an instance: the Function that runs it in containers of its pool."""

    _pool: Pool

    @classmethod
    def _of(cls, pool: Pool, name: str) -> "BoundMethod[..., Any, Any]":
        parts = pool.cls._parts
        raw = None if parts is None else parts.methods[name].raw
        made = cast("BoundMethod[..., Any, Any]", cls._new(name, app=pool.cls.app, raw=raw))
        made._pool = pool
        return made

    @property
    def name(self) -> str:
        return f"{self._pool.cls.name}.{self._name}"

    @property
    def is_generator(self) -> bool:
        """Whether it yields. ExecutionError for one looked up and not yet hydrated."""
        if self._pool.cls._parts is not None:
            return self._pool.cls._parts.specs[self._name].is_generator
        return super().is_generator

    def _in_container(self) -> Target | None:
        return None

    def _answers_web(self) -> bool:
        cls = self._pool.cls
        if cls._parts is not None:
            return cls._parts.specs[self._name].web is not None
        return self._name in cls._function._web_urls

    async def _web_url(self) -> str | None:
        if not self._pool.cls._function._web_urls:
            await self._pool.cls._resolve(await self._connected())
        return self._pool.cls._function._web_urls.get(self._name)

    def _can_resolve(self) -> bool:
        return self._pool.can_resolve()

    def _unhydrated(self) -> ExecutionError:
        return self._pool.cls._unhydrated()

    async def _resolve(self, client: "Client") -> Target:
        self._target = await self._pool.target(client, self._name)
        return self._target

    def _varied(self, more: Variant) -> NoReturn:
        raise InvalidError(f"{self.name}: give the options to its class, as {self._pool.cls.name}")

    def _prepared(self) -> "tuple[Client, Target] | None":
        ready = super()._prepared()
        return ready if ready is not None and self._pool.is_current() else None

    def local(self, *args: P.args, **kwargs: P.kwargs) -> O:
        """Run it on an instance here, whose enter hooks run once before."""
        if self._pool.local is None:
            raise ExecutionError(f"{self.name} was looked up by name: it can't run locally")
        return cast(O, self._pool.local.call(self.raw, args, kwargs))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> O:
        return self.local(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return getattr, (Instance(self._pool), self._name)


def in_container(thing: object, name: str) -> tuple[Cls, Any]:
    """A container's own class and instance, made of what its module or pickle has."""
    from squall._declaring.lifecycle import parts

    assignment = _container.assignment()
    assert assignment is not None
    if isinstance(thing, Cls):
        made = thing
    elif inspect.isclass(thing):
        made = Cls._new(Function._new(name, raw=thing), parts=parts(thing))
    else:
        raise InvalidError(f"{name} is a {type(thing).__name__}, not a class")
    own_parts = made._parts
    assert own_parts is not None
    arguments = parameters.chosen(name, own_parts.parameters, dict(assignment.spec.arguments))
    spec = assignment.spec
    alone = spec.retry is not None or spec.batch is not None or spec.single_use
    own = Target(assignment.function_id, assignment.environment, name, False, alone)
    pool = Pool(made, arguments, own=own)
    assert pool.local is not None
    pool.local.entered()
    return made, pool.local.instance()


def _with_variant(cls: Cls, variant: Variant) -> Cls:
    return cls._varied(variant)


def _by_name(app: str, name: str, environment: str | None) -> Cls:
    return Cls.from_name(app, name, environment_name=environment)


def _by_shape(
    target: tuple[Any, ...], methods: dict[str, MethodSpec], parameters: tuple[ParameterSpec, ...]
) -> Cls:
    where = Target(*target)
    return Cls._new(Function._new(where.name), shape=Shape(where, methods, parameters))


def _by_app(
    app: str, name: str, methods: dict[str, MethodSpec], parameters: tuple[ParameterSpec, ...]
) -> Cls:
    """In a container, for pickled code that calls its app's classes: found by their name."""
    assignment = _container.assignment()
    if assignment is None or name not in assignment.function_ids:
        raise ExecutionError(f"{name} belongs to the app {app!r}, which does not run here")
    target = Target(assignment.function_ids[name], assignment.environment, name, False, True)
    return _by_shape(tuple(target), methods, parameters)
