"""`fastapi_endpoint`: a FastAPI app around one function."""

from collections.abc import Callable
from typing import Any

from squall.exception import InvalidError
from squall_contracts.web import WebSpec

from squall_guest.web.asgi import App


def endpoint(spec: WebSpec, function: Callable[..., Any]) -> App:
    """A FastAPI app whose one route, `/`, is `function`. InvalidError if the image has no FastAPI."""
    try:
        from fastapi import FastAPI
        from fastapi.middleware.cors import CORSMiddleware
    except ImportError as error:
        raise InvalidError(
            f"{getattr(function, '__name__', 'the function')} is a fastapi_endpoint, but its image "
            'has no FastAPI: add .uv_pip_install("fastapi") to its image'
        ) from error
    app = FastAPI(
        openapi_url="/openapi.json" if spec.docs else None,
        docs_url="/docs" if spec.docs else None,
        redoc_url=None,
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    app.add_api_route("/", function, methods=[spec.http_method])
    made: App = app
    return made
