"""From what a user's function is declared to be to the ASGI app that is served."""

import inspect
from collections.abc import Callable
from typing import Any

from squall.exception import InvalidError
from squall_contracts.web import WebSpec

from squall_guest.web.asgi import App


async def app_of(spec: WebSpec, function: Callable[..., Any]) -> App:
    """The app of one endpoint. Raises what `function` raises; InvalidError for what is no app."""
    if spec.kind == "asgi":
        return _as_asgi(await _made(function), function)
    if spec.kind == "wsgi":
        from squall_guest.web.wsgi import Wsgi

        app = await _made(function)
        if not callable(app):
            raise InvalidError(_no_app(function, "WSGI", app))
        return Wsgi(app)
    if spec.kind == "fastapi":
        from squall_guest.web.endpoint import endpoint

        return endpoint(spec, function)
    if spec.kind == "route":
        from squall_guest.web.route import Route

        return Route(function)
    from squall_guest.web.proxy import proxy_to

    await _made(function)
    return await proxy_to(spec.port, spec.startup_timeout_s)


async def _made(function: Callable[..., Any]) -> Any:
    made = function()
    return await made if inspect.isawaitable(made) else made


def _as_asgi(app: Any, function: Callable[..., Any]) -> App:
    if not callable(app):
        raise InvalidError(_no_app(function, "ASGI", app))
    made: App = app
    return made


def _no_app(function: Callable[..., Any], kind: str, found: object) -> str:
    name = getattr(function, "__name__", "the function")
    return f"{name} must return an {kind} app, but returned a {type(found).__name__}"
