"""`modal.partial_function`: where old scripts find the decorators of methods."""

from squall._declaring.methods import Method as PartialFunction
from squall._declaring.methods import batched, concurrent, enter, exit, method
from squall.web import asgi_app, fastapi_endpoint, web_endpoint, web_server, wsgi_app

__all__ = [
    "PartialFunction",
    "asgi_app",
    "batched",
    "concurrent",
    "enter",
    "exit",
    "fastapi_endpoint",
    "method",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]
