"""How functions, classes and entrypoints become an app's."""

import inspect
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import (
    TYPE_CHECKING,
    Any,
    ParamSpec,
    TypeVar,
    cast,
    dataclass_transform,
    overload,
)

from squall import _validate
from squall._declaring import lifecycle
from squall._declaring.declared import FunctionDecorator, LocalEntrypoint
from squall._declaring.methods import concurrency
from squall._declaring.options import (
    DEFAULT_TIMEOUT,
    check_callable,
    check_class,
    options_of,
    unwrapped,
    web_of,
)
from squall._declaring.parameters import parameter
from squall._modal import spellings
from squall._modal.mount import mounted
from squall._volume.mounts import checked
from squall.cls import Cls
from squall.exception import InvalidError
from squall.function import Function

if TYPE_CHECKING:
    from squall._volume.mounts import Mounted
    from squall.app import App
    from squall.image import Image
    from squall.retries import Retries
    from squall.schedule import Schedule
    from squall.secret import Secret
    from squall.server import Server

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Declaring:
    """The decorators of an App."""

    _functions: dict[str, Function[Any, Any, Any]]
    _entrypoints: dict[str, LocalEntrypoint[Any, Any]]
    _included_in: "list[App]"

    @abstractmethod
    def _app(self) -> "App": ...

    def function(
        self,
        *_misused: object,
        image: "Image | None" = None,
        schedule: "Schedule | None" = None,
        env: Mapping[str, str | None] | None = None,
        secrets: "Sequence[Secret]" = (),
        gpu: str | Sequence[str] | None = None,
        serialized: bool = False,
        volumes: "Mapping[str, Mounted] | Mapping[PurePosixPath, Mounted] | None" = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        retries: "int | Retries | None" = None,
        timeout: float = DEFAULT_TIMEOUT,
        startup_timeout: float | None = None,
        name: str | None = None,
        is_generator: bool | None = None,
        block_network: bool = False,
        outbound_cidr_allowlist: Sequence[str] | None = None,
        restrict_modal_access: bool = False,
        nonpreemptible: bool = False,
        ephemeral_disk: int | None = None,
        runner_labels: Mapping[str, str] | None = None,
        single_use_containers: bool = False,
        result_ttl: float | None = None,
        include_source: bool | None = None,
        enable_memory_snapshot: bool = False,
        max_inputs: int | None = None,
        **others: Any,
    ) -> FunctionDecorator:
        """Make a function of this app.

        `cpu` in cores and `memory` in MiB, each alone or as `(request, limit)`; `gpu` is
        `"TYPE"` or `"TYPE:COUNT"`, or a list in order of preference. `runner_labels`: it runs only on
        runners that have all of them; None: on any. `ephemeral_disk`: MiB of files outside volumes past
        which a container is ended; None: its runner's own limit. `timeout` and
        `startup_timeout` in seconds, the latter None: as `timeout`. `scaledown_window`: seconds an
        idle container stays. `result_ttl`: results of spawned calls are kept so many seconds, None:
        seven days. `volumes`: squall.Volume or CloudBucketMount by mount path, beside the app's.
        `retries`: a number, each a second apart, or Retries. Environment variables come
        from the app's secrets, then from `secrets`, then from `env`; the last wins.
        `serialized` ships the pickled function in place of its module. `enable_memory_snapshot`:
        containers are kept waiting with the module imported. `outbound_cidr_allowlist`: the only
        IPv4 networks it may connect to; None: all. InvalidError names a field at fault.
        """
        if _misused:
            raise InvalidError("write @app.function() with parentheses")
        mounts = checked(volumes or {})
        renamed = spellings.current("function", others)
        chosen: dict[str, Any] = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "scaledown_window": scaledown_window,
            "max_inputs": max_inputs,
            **renamed,
        }
        if name is not None:
            _validate.object_name("name", name)

        def decorate(function: Callable[..., Any], /) -> Function[Any, Any, Any]:
            below, web = web_of(function)
            raw, batch = unwrapped(below)
            check_callable(raw, serialized)
            options = options_of(
                raw,
                image=mounted(image, self._app().image, chosen.get("mounts")),
                schedule=schedule,
                env=env,
                secrets=secrets,
                gpu=gpu,
                serialized=serialized,
                cpu=cpu,
                memory=memory,
                min_containers=chosen["min_containers"],
                max_containers=chosen["max_containers"],
                buffer_containers=buffer_containers,
                scaledown_window=chosen["scaledown_window"],
                retry=retries,
                timeout=timeout,
                startup_timeout=startup_timeout,
                is_generator=is_generator,
                block_network=block_network,
                outbound_cidr_allowlist=outbound_cidr_allowlist,
                restrict_modal_access=restrict_modal_access,
                nonpreemptible=nonpreemptible,
                ephemeral_disk=ephemeral_disk,
                runner_labels=runner_labels,
                include_source=include_source,
                single_use_containers=single_use_containers,
                enable_memory_snapshot=enable_memory_snapshot,
                result_ttl=result_ttl,
                concurrency=concurrency(raw, chosen["max_inputs"]),
                batch=batch,
                volumes=mounts,
                web=web,
            )
            chosen_name = name or _validate.object_name("name", raw.__name__)
            made = Function._new(chosen_name, app=self._app(), raw=raw, options=options)
            self._register(made)
            return made

        return decorate

    def web_endpoint(
        self,
        *_misused: object,
        path: str,
        method: str = "GET",
        requires_proxy_auth: bool = False,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Function[..., Any, Any]]:
        """Make a function that answers `method` at `path` of the app's own address.

        `{name}` in the path is a parameter of the function; others come from the query, `body` is
        the body's JSON value and `request` a WebRequest. It returns a WebResponse, `(value,
        status)`, or a value, sent as JSON unless it is bytes or str. What can't be read as its
        annotation is answered 422. All else are arguments of `function`. InvalidError names a field
        at fault.
        """
        if _misused:
            raise InvalidError("write @app.web_endpoint(path=…) with its arguments by name")
        from squall.web import route

        mark = route(path, method, requires_proxy_auth)
        decorate = self.function(**options)
        return lambda raw: decorate(mark(raw))

    @dataclass_transform(field_specifiers=(parameter,), kw_only_default=True)
    def cls(
        self,
        *_misused: object,
        image: "Image | None" = None,
        env: Mapping[str, str | None] | None = None,
        secrets: "Sequence[Secret]" = (),
        gpu: str | Sequence[str] | None = None,
        serialized: bool = False,
        volumes: "Mapping[str, Mounted] | Mapping[PurePosixPath, Mounted] | None" = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        retries: "int | Retries | None" = None,
        timeout: float = DEFAULT_TIMEOUT,
        startup_timeout: float | None = None,
        block_network: bool = False,
        outbound_cidr_allowlist: Sequence[str] | None = None,
        restrict_modal_access: bool = False,
        nonpreemptible: bool = False,
        ephemeral_disk: int | None = None,
        runner_labels: Mapping[str, str] | None = None,
        single_use_containers: bool = False,
        result_ttl: float | None = None,
        include_source: bool | None = None,
        enable_memory_snapshot: bool = False,
        max_inputs: int | None = None,
        **others: Any,
    ) -> Callable[[type[T]], type[T]]:
        """Make a class of this app: `C(**parameters)` then has methods to be called remotely.

        Each container makes one instance and runs its `@squall.enter()` hooks before its first
        input; with `enable_memory_snapshot` those with `snap=True` ahead of it, in a process kept
        waiting. The arguments are those of `function`. InvalidError names a field at fault.
        """
        if _misused:
            raise InvalidError("write @app.cls() with parentheses")
        mounts = checked(volumes or {})
        chosen: dict[str, Any] = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "scaledown_window": scaledown_window,
            "max_inputs": max_inputs,
            **spellings.current("cls", others),
        }

        def decorate(kind: type[T], /) -> type[T]:
            check_class(kind, serialized)
            parts = lifecycle.parts(kind)
            if parts.snaps and not enable_memory_snapshot:
                raise InvalidError(
                    f"{kind.__name__}: enter(snap=True) needs enable_memory_snapshot"
                )
            options = options_of(
                kind,
                image=mounted(image, self._app().image, chosen.get("mounts")),
                schedule=None,
                env=env,
                secrets=secrets,
                gpu=gpu,
                serialized=serialized,
                cpu=cpu,
                memory=memory,
                min_containers=chosen["min_containers"],
                max_containers=chosen["max_containers"],
                buffer_containers=buffer_containers,
                scaledown_window=chosen["scaledown_window"],
                retry=retries,
                timeout=timeout,
                startup_timeout=startup_timeout,
                is_generator=None,
                block_network=block_network,
                outbound_cidr_allowlist=outbound_cidr_allowlist,
                restrict_modal_access=restrict_modal_access,
                nonpreemptible=nonpreemptible,
                ephemeral_disk=ephemeral_disk,
                runner_labels=runner_labels,
                include_source=include_source,
                single_use_containers=single_use_containers,
                enable_memory_snapshot=enable_memory_snapshot,
                result_ttl=result_ttl,
                concurrency=concurrency(kind, chosen["max_inputs"]),
                batch=parts.batch,
                methods=tuple(parts.specs.values()),
                parameters=parts.parameters,
                volumes=mounts,
            )
            name = _validate.object_name("name", kind.__name__)
            made = Function._new(name, app=self._app(), raw=kind, options=options)
            self._register(made)
            return cast(type[T], Cls._new(made, parts=parts))

        return decorate

    def server(
        self,
        *_misused: object,
        port: int = 8000,
        target_concurrency: int | None = None,
        max_concurrency: int | None = None,
        startup_timeout: float = 30,
        unauthenticated: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> "Callable[[type], Server]":
        """Make a server of a class whose `@squall.enter()` hooks start an HTTP server on `port`.

        `startup_timeout`: seconds within which the port must take connections. `target_concurrency`:
        requests a container should have at a time, `max_concurrency` at most. Only holders of a
        token may ask, unless `unauthenticated`. `name` None: the class's. All else are arguments of
        `cls`. InvalidError names a field at fault.
        """
        if _misused:
            raise InvalidError("write @app.server() with parentheses")
        from squall.server import Server, serving

        def decorate(kind: type, /) -> Server:
            check_class(kind, bool(options.get("serialized", False)))
            kind.__name__ = name or kind.__name__
            kind = serving(
                kind,
                port=port,
                startup_timeout=startup_timeout,
                authenticated=not _validate.truth("unauthenticated", unauthenticated),
                max_inputs=max_concurrency,
                target_inputs=target_concurrency,
            )
            made = cast(Cls, self.cls(startup_timeout=startup_timeout, **options)(kind))
            return Server._new(made._function, parts=made._parts)

        return decorate

    def _register(self, function: Function[Any, Any, Any]) -> None:
        if function.name in self._functions:
            warnings.warn(
                f"the app has two functions named {function.name!r}: the last one wins",
                UserWarning,
                stacklevel=4,
            )
        self._functions[function.name] = function
        for app in self._included_in:
            app._register(function)

    @overload
    def local_entrypoint(self, function: Callable[P, R], /) -> LocalEntrypoint[P, R]: ...
    @overload
    def local_entrypoint(
        self, /, *, name: str | None = None
    ) -> Callable[[Callable[P, R]], LocalEntrypoint[P, R]]: ...
    def local_entrypoint(
        self, function: Callable[..., Any] | None = None, /, *, name: str | None = None
    ) -> Any:
        """Make a function the program that `squall run` starts here, inside a run of this app."""
        if function is not None:
            raise InvalidError("write @app.local_entrypoint() with parentheses")
        if name is not None:
            _validate.object_name("name", name)

        def decorate(entry: Callable[..., Any]) -> LocalEntrypoint[Any, Any]:
            if not inspect.isfunction(entry):
                raise InvalidError(f"local_entrypoint needs a function, not {entry!r}")
            if inspect.isgeneratorfunction(entry) or inspect.isasyncgenfunction(entry):
                raise InvalidError(f"local_entrypoint: {entry.__name__} can't be a generator")
            chosen = name or entry.__name__
            if chosen in self._entrypoints:
                raise InvalidError(f"the app has two local entrypoints named {chosen!r}")
            made = LocalEntrypoint(entry, chosen, self._app())
            self._entrypoints[chosen] = made
            return made

        return decorate
