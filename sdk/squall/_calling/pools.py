"""Pools of containers: where the inputs of a class's instances go, and those of a function or class
with options of its own."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from squall_contracts.apps import BindPool
from squall_contracts.functions import Scalar, Variant

from squall import _sync
from squall._calling.unary import Target
from squall._declaring import parameters
from squall._declaring.local import Local
from squall.autoscaler import Autoscaler, AutoscalerSettings, FunctionStats, change, stats
from squall.exception import NotFoundError

if TYPE_CHECKING:
    from squall._client import Client
    from squall._declaring.methods import Method
    from squall.cls import BoundMethod, Cls, Shape

BINDINGS_KEPT: Final = 1000


class _Bound(NamedTuple):
    base: str
    """The function or class it is a pool of."""
    function_id: str
    retryable: bool
    good_until_s: float
    """On the clock of time.monotonic()."""


class Binding:
    """What the gateway said of one pool: asked for on first use, and again before it may forget."""

    def __init__(self) -> None:
        self._bound: _Bound | None = None
        self._asking = asyncio.Lock()
        """Held on the SDK loop by the one who asks: the others wait for the same answer."""

    def is_good(self, base: str) -> bool:
        """Whether inputs still go where they went: an app that runs again has new ids, and a pool
        is removed some time after it was asked for last."""
        bound = self._bound
        return bound is not None and bound.base == base and time.monotonic() < bound.good_until_s

    async def target(
        self,
        client: "Client",
        base: Target,
        arguments: dict[str, Scalar],
        variant: Variant | None,
    ) -> Target:
        """`base` with the id of its pool. InvalidError, NotFoundError."""
        async with self._asking:
            if not self.is_good(base.function_id):
                asked = BindPool(function_id=base.function_id, arguments=arguments, variant=variant)
                began_s = time.monotonic()
                found = await client.control(asked)
                lasts_s = float("inf") if found.good_for_s is None else found.good_for_s
                self._bound = _Bound(
                    base.function_id, found.function_id, found.retryable, began_s + lasts_s
                )
        assert self._bound is not None
        return base._replace(function_id=self._bound.function_id, retryable=self._bound.retryable)

    def itself(self, base: Target) -> Target:
        """No pool is needed: the inputs go to `base`."""
        self._bound = _Bound(base.function_id, base.function_id, base.retryable, float("inf"))
        return base


class Bindings:
    """Those of one class by the arguments of its instances: an instance made anew for each call, as
    in `C(size=3).m.remote()`, asks no more than one that is kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[str, type, object], ...], Binding] = {}
        self._adding = threading.Lock()

    def of(self, arguments: dict[str, Any]) -> Binding:
        """The binding for these arguments; one of its own for what no parameter can be."""
        key = tuple((name, type(value), value) for name, value in sorted(arguments.items()))
        try:
            known = self._known.get(key)
        except TypeError:  # not hashable: it is refused when the parameters are checked
            return Binding()
        if known is None:
            with self._adding:
                known = self._known.setdefault(key, Binding())
                if len(self._known) > BINDINGS_KEPT:
                    del self._known[next(iter(self._known))]
        return known


class Pool:
    """A class with its parameters: where the methods of one instance run."""

    def __init__(self, cls: "Cls", arguments: dict[str, Any], *, own: Target | None = None) -> None:
        """`own`: this process is a container of the pool."""
        self.cls = cls
        self.arguments = arguments
        self._own = own
        self._functions: dict[str, BoundMethod[..., Any, Any]] = {}
        self._binding = cls._bindings.of(arguments)
        self.local = None if cls._parts is None else Local(cls._parts, self)

    def has(self, name: str) -> bool:
        """Whether that is a method; of a class that was looked up everything is, until it is called."""
        return self.cls._parts is None or name in self.cls._parts.methods

    def defines(self, name: str) -> bool:
        """Whether the user's class has something of that name, as far as it is known here."""
        return self.cls._parts is not None and hasattr(self.cls._parts.kind, name)

    def method(self, name: str) -> "BoundMethod[..., Any, Any]":
        from squall.cls import BoundMethod

        made = self._functions.get(name)
        if made is None:
            made = self._functions[name] = BoundMethod._of(self, name)
        return made

    def function_of(self, method: "Method[..., Any, Any]") -> "BoundMethod[..., Any, Any] | None":
        """For `self.m` inside the class; None for a method that is overridden (`super().m`)."""
        parts = self.cls._parts
        if parts is None or parts.methods.get(method.__name__) is not method:
            return None
        return self.method(method.__name__)

    def is_current(self) -> bool:
        """Whether inputs still go where they went."""
        if self._own is not None:
            return True
        known = self.cls._known()
        return known is not None and self._binding.is_good(known.target.function_id)

    def can_resolve(self) -> bool:
        """Whether it runs somewhere, or was given by the name it can be looked up with."""
        return self._own is not None or self.cls._can_resolve()

    async def target(self, client: "Client", name: str) -> Target:
        """Where inputs of a method go. NotFoundError, InvalidError, ExecutionError."""
        if self._own is not None and self.cls._parts is not None:
            method = self.cls._parts.specs[name]
            return self._own._replace(is_generator=method.is_generator, method=name)
        shape = await self.cls._resolve(client)
        found = shape.methods.get(name)
        if found is None:
            raise NotFoundError(
                f"{self.cls.name} has no method {name!r}; it has: {', '.join(shape.methods)}"
            )
        pool = await self._bind(client, shape)
        return pool._replace(
            name=f"{self.cls.name}.{name}", is_generator=found.is_generator, method=name
        )

    async def _resolve(self, client: "Client") -> Target:
        """The pool itself, as the autoscaler asks for it. ExecutionError, NotFoundError."""
        if self._own is not None:
            return self._own
        return await self._bind(client, await self.cls._resolve(client))

    async def _bind(self, client: "Client", shape: "Shape") -> Target:
        arguments = parameters.chosen(self.cls.name, shape.parameters, self.arguments)
        variant = self.cls._variant
        if variant is None and all(arguments[p.name] == p.default for p in shape.parameters):
            return self._binding.itself(shape.target)
        return await self._binding.target(client, shape.target, arguments, variant)


_SCALING: Final = frozenset({"autoscaler", "get_current_stats", "update_autoscaler"})


class Scaled:
    """The containers of one pool, for `instance.update_autoscaler(…)` and its kin."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def autoscaler(self) -> Autoscaler:
        """Reads and changes how many there are."""
        return Autoscaler(self._pool)

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
            self._pool,
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
        )

    @_sync.synced
    async def get_current_stats(self) -> FunctionStats:
        """How the pool fares right now."""
        return await stats(self._pool)


class Instance:
    """An instance of a class: its methods are Functions, all else is that of an instance here."""

    _squall_pool: Pool

    def __init__(self, pool: Pool) -> None:
        object.__setattr__(self, "_squall_pool", pool)

    def __getattr__(self, name: str) -> Any:
        pool = self._squall_pool
        if name in _SCALING and not pool.defines(name):
            return getattr(Scaled(pool), name)
        if not name.startswith("__") and pool.has(name):
            return pool.method(name)
        if pool.local is None:
            raise AttributeError(f"{pool.cls.name} has no method {name!r}")
        return getattr(pool.local.instance(), name)

    def __setattr__(self, name: str, value: object) -> None:
        local = self._squall_pool.local
        if local is None:
            raise AttributeError(f"{self!r} was looked up by name: it has no attributes here")
        setattr(local.instance(), name, value)

    def __repr__(self) -> str:
        pool = self._squall_pool
        given = ", ".join(f"{name}={value!r}" for name, value in pool.arguments.items())
        return f"{pool.cls.name}({given})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _instance, (self._squall_pool.cls, self._squall_pool.arguments)


def _instance(cls: "Cls", arguments: dict[str, Scalar]) -> Any:
    return cls(**arguments)
