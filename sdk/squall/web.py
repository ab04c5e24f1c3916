"""Web endpoints: the decorators that give a function an address, and what routes take and return."""

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from squall_contracts.web import WebKind, WebSpec

from squall import _validate
from squall._declaring.methods import CONCURRENCY, Method, check_plain, in_class
from squall.exception import DeprecationError, InvalidError

__all__ = [
    "WebFunction",
    "WebRequest",
    "WebResponse",
    "asgi_app",
    "fastapi_endpoint",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]

HTTP_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN: Final = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_PARAMETER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@-]+|\{[A-Za-z_][A-Za-z0-9_]*\}")


class WebFunction(Method[..., Any, Any]):
    """A function or method that web requests run. `f()` and `f.local()` call it right here."""

    def __init__(self, raw: Callable[..., Any], web: WebSpec) -> None:
        super().__init__(raw)
        self.web = web

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.raw(*args, **kwargs)


Decorator = Callable[[Callable[..., Any]], WebFunction]


def fastapi_endpoint(
    *_misused: object,
    method: str = "GET",
    label: str | None = None,
    custom_domains: Sequence[str] | None = None,
    docs: bool = False,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Serve a function as the one route, `/`, of a FastAPI app. Its image must have fastapi.

    Arguments come from the query or the body, as FastAPI has it, and any origin may ask. `docs`:
    whether /docs is served. `label`: takes the place of app and function in its address.
    `requires_proxy_auth`: only for holders of a token of `squall proxy-token`. InvalidError names a field
    at fault.
    """
    _with_parentheses("fastapi_endpoint", _misused)
    spec = _spec("fastapi", label, custom_domains, requires_proxy_auth)
    spec = _replaced(spec, http_method=_http_method(method), docs=_validate.truth("docs", docs))

    def decorate(raw: Callable[..., Any], /) -> WebFunction:
        made = _made("fastapi_endpoint", raw, spec)
        if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
            raise InvalidError(
                f"@squall.fastapi_endpoint(…): {raw.__name__} can't be a generator: return a "
                "StreamingResponse over one"
            )
        return made

    return decorate


def web_endpoint(*args: object, **kwargs: Any) -> Decorator:
    """The old name of `fastapi_endpoint`. Routes with paths are made by `@app.web_endpoint(…)`."""
    if "path" in kwargs:
        raise InvalidError("a route with a path belongs to an app: write @app.web_endpoint(path=…)")
    warnings.warn(
        "squall.web_endpoint is now called squall.fastapi_endpoint", DeprecationError, stacklevel=2
    )
    return fastapi_endpoint(*args, **kwargs)


def asgi_app(
    *_misused: object,
    label: str | None = None,
    custom_domains: Sequence[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Serve the ASGI app that the function returns. It is called once in each container, without
    arguments. The arguments here are those of `fastapi_endpoint`."""
    _with_parentheses("asgi_app", _misused)
    spec = _spec("asgi", label, custom_domains, requires_proxy_auth)
    return lambda raw: _without_arguments(_made("asgi_app", raw, spec))


def wsgi_app(
    *_misused: object,
    label: str | None = None,
    custom_domains: Sequence[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """As `asgi_app` for a WSGI app, whose requests run in threads."""
    _with_parentheses("wsgi_app", _misused)
    spec = _spec("wsgi", label, custom_domains, requires_proxy_auth)
    return lambda raw: _without_arguments(_made("wsgi_app", raw, spec))


def web_server(
    port: int,
    *_misused: object,
    startup_timeout: float = 5.0,
    label: str | None = None,
    custom_domains: Sequence[str] | None = None,
    requires_proxy_auth: bool = False,
) -> Decorator:
    """Serve what listens on `port` in the container. The function starts it, and returns.

    `startup_timeout`: seconds within which the port must take connections, else the container's start
    fails. The other arguments are those of `fastapi_endpoint`.
    """
    _with_parentheses("web_server", _misused)
    spec = _replaced(
        _spec("server", label, custom_domains, requires_proxy_auth),
        port=_validate.whole("port", port, least=1, most=65535),
        startup_timeout_s=_validate.number(
            "startup_timeout", startup_timeout, least=0.1, most=3600
        ),
    )
    return lambda raw: _without_arguments(_made("web_server", raw, spec))


def route(path: object, method: object, requires_proxy_auth: object) -> Decorator:
    """What `@app.web_endpoint(…)` puts on a function."""
    spec = _replaced(
        WebSpec(kind="route"),
        path=_path(path),
        http_method=_http_method(method),
        requires_proxy_auth=_validate.truth("requires_proxy_auth", requires_proxy_auth),
    )

    def decorate(raw: Callable[..., Any], /) -> WebFunction:
        made = _made("web_endpoint", raw, spec)
        taken = inspect.signature(raw).parameters.values()
        names = {parameter.name for parameter in taken}
        if "request" not in names and not any(p.kind is p.VAR_KEYWORD for p in taken):
            for name in _PARAMETER.findall(spec.path):
                if name not in names:
                    raise InvalidError(
                        f"path: {raw.__name__} takes no parameter {name!r}, which {spec.path} names"
                    )
        return made

    return decorate


# --- what routes take and return --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """A request, for a route that has a parameter `request`."""

    method: str
    path: str
    path_params: Mapping[str, str] = field(default_factory=dict)
    query_params: Mapping[str, str] = field(default_factory=dict)
    """The last value of each name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in small letters; values of a repeated one are joined by commas."""
    body: Any = None
    """The JSON value, if the request says it has one; else bytes; None if it is empty."""


@dataclass(frozen=True, kw_only=True)
class WebResponse:
    """What a route may return to choose status, type and headers."""

    body: Any = None
    """`bytes` and `str` are sent as they are, all else as JSON."""
    status_code: int = 200
    content_type: str | None = None
    """None: as fits the body."""
    headers: Mapping[str, str] = field(default_factory=dict)


# --- checks ----------------------------------------------------------------------------------------


def _spec(
    kind: WebKind, label: object, domains: Sequence[str] | None, requires_proxy_auth: object
) -> WebSpec:
    if label is not None and not (isinstance(label, str) and _LABEL.fullmatch(label)):
        raise InvalidError(
            f"label must be small letters, digits and dashes, at most 63, not {label!r}"
        )
    if isinstance(domains, str):
        raise InvalidError("custom_domains must be a list of names, not one name")
    for domain in domains or ():
        if not _DOMAIN.fullmatch(str(domain)):
            raise InvalidError(f"custom_domains: {domain!r} is not a domain name in small letters")
    return WebSpec(
        kind=kind,
        label=label or "",
        custom_domains=tuple(domains or ()),
        requires_proxy_auth=_validate.truth("requires_proxy_auth", requires_proxy_auth),
    )


def _replaced(spec: WebSpec, **fields: Any) -> WebSpec:
    return msgspec.structs.replace(spec, **fields)


def _http_method(value: object) -> str:
    if not isinstance(value, str) or value.upper() not in HTTP_METHODS:
        raise InvalidError(f"method must be one of {', '.join(HTTP_METHODS)}, not {value!r}")
    return value.upper()


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise InvalidError(f"path must begin with a slash, unlike {value!r}")
    for segment in filter(None, value.split("/")):
        if not _SEGMENT.fullmatch(segment):
            raise InvalidError(
                f"path: {segment!r} must be plain characters, or one parameter such as {{id}}"
            )
    names = _PARAMETER.findall(value)
    if len(set(names)) < len(names):
        raise InvalidError(f"path: {value} names a parameter twice")
    return value


def _made(name: str, raw: Any, spec: WebSpec) -> WebFunction:
    if isinstance(raw, Method):
        raise InvalidError(
            f"@squall.{name}(…): {raw.__name__} has another such decorator already: use one of them"
        )
    check_plain(name, raw)
    return WebFunction(raw, spec)


def _without_arguments(made: WebFunction) -> WebFunction:
    raw = made.raw
    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise InvalidError(f"{raw.__name__} can't be a generator: it is called once, for its app")
    if hasattr(raw, CONCURRENCY) and in_class(raw):
        raise InvalidError(
            f"@squall.concurrent(…) goes on the class, not on its method {raw.__name__}"
        )
    parameters = list(inspect.signature(raw).parameters.values())
    if in_class(raw):
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.default is parameter.empty and parameter.kind not in {
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        }:
            raise InvalidError(
                f"{raw.__name__} is called without arguments, but {parameter.name!r} has no default"
            )
    return made


def _with_parentheses(name: str, given: tuple[object, ...]) -> None:
    if given:
        raise InvalidError(f"write @squall.{name}(…) with parentheses, and name its arguments")
