"""`app.web_endpoint`: a function's parameters from a request, and a response from what it returns."""

import asyncio
import inspect
import typing
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from squall.web import WebRequest, WebResponse

from squall_guest.web.asgi import Receive, Scope, Send

JSON: Final = "application/json"
_MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest body a route takes, as it is read whole."""


class Unprocessable(ValueError):  # noqa: N818 - an answer, not a fault
    """The request does not give the function what it asks for; the text is for the client."""


class Route:
    """An ASGI app around a function of `@app.web_endpoint`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._parameters = inspect.signature(function).parameters
        self._hints = typing.get_type_hints(function)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        try:
            request = _request(scope, await _body(receive))
            arguments = self._arguments(request)
        except Unprocessable as error:
            answer = WebResponse(body={"error": str(error)}, status_code=422)
        else:
            answer = response_of(await self._call(arguments))
        await _answer(answer, send)

    async def _call(self, arguments: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(**arguments)
        return await asyncio.to_thread(self._function, **arguments)

    def _arguments(self, request: WebRequest) -> dict[str, Any]:
        given: dict[str, Any] = {}
        rest: dict[str, Any] = {**request.query_params, **request.path_params}
        for name, parameter in self._parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= {key: value for key, value in rest.items() if key not in given}
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                found, value = self._value(name, request)
                if found:
                    given[name] = value
                elif parameter.default is parameter.empty:
                    raise Unprocessable(f"{name} is missing")
        return given

    def _value(self, name: str, request: WebRequest) -> tuple[bool, Any]:
        if name == "request":
            return True, request
        if name in request.path_params:
            return True, self._converted(name, request.path_params[name])
        if name == "body":
            return request.body is not None, self._converted(name, request.body)
        if name in request.query_params:
            return True, self._converted(name, request.query_params[name])
        if isinstance(request.body, dict) and name in request.body:
            return True, self._converted(name, request.body[name])
        return False, None

    def _converted(self, name: str, value: Any) -> Any:
        wanted = self._hints.get(name, Any)
        if wanted is Any or value is None or (wanted is bytes and isinstance(value, bytes)):
            return value
        try:
            return msgspec.convert(value, wanted, strict=False)
        except msgspec.ValidationError as error:
            raise Unprocessable(f"{name}: {error}") from error
        except (
            TypeError
        ):  # an annotation that says nothing about JSON, such as a class of the user's
            return value


def _request(scope: Scope, body: bytes) -> WebRequest:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return WebRequest(
        method=scope["method"],
        path=scope["path"].removeprefix(scope["root_path"]),
        path_params=scope.get("path_params", {}),
        query_params=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
        headers=headers,
        body=_parsed(body, headers.get("content-type", "")),
    )


def _parsed(body: bytes, content_type: str) -> Any:
    if not body:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    if kind and kind != JSON and not kind.endswith("+json"):
        return body
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        if kind:
            raise Unprocessable(f"body: {error}") from error
        return body


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise OSError("the client is gone")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MOST_BYTES:
            raise Unprocessable(f"body: more than {_MOST_BYTES} bytes: take it by an asgi_app")
        if not message.get("more_body"):
            return b"".join(parts)


def response_of(value: Any) -> WebResponse:
    """What a function's return value means: see `App.web_endpoint`."""
    if isinstance(value, WebResponse):
        return value
    if isinstance(value, tuple) and len(value) == 2 and type(value[1]) is int:
        body, status = value
        if isinstance(body, WebResponse):
            return body
        return WebResponse(body=body, status_code=status)
    return WebResponse(body=value)


async def _answer(answer: WebResponse, send: Send) -> None:
    body, kind = answer.body, answer.content_type
    if isinstance(body, str):
        data, natural = body.encode(), "text/plain; charset=utf-8"
    elif isinstance(body, bytes | bytearray | memoryview):
        data, natural = bytes(body), "application/octet-stream"
    elif body is None and answer.status_code in {204, 304}:
        data, natural = b"", ""
    else:
        data, natural = msgspec.json.encode(body), JSON
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if kind or natural:
        headers.setdefault("content-type", kind or natural)
    if answer.status_code not in {204, 304}:
        headers["content-length"] = str(len(data))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": [
                (k.encode("latin-1"), str(v).encode("latin-1")) for k, v in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": data})
