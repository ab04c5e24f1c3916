"""One request of the REST API, read: who asks, for what, with what; and what is answered."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from aiohttp import hdrs, web
from squall_contracts.environments import DEFAULT

from squall_gateway.rest import routes
from squall_gateway.rest.access import Caller
from squall_gateway.rest.problems import ProblemError
from squall_gateway.rest.routes import Route
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID, BodyTooLarge, Upload

JSON: Final = "application/json"
ENVIRONMENT_HEADER: Final = "squall-environment"


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler gets."""

    asked: Asked
    route: Route
    account: str
    """Empty on routes that need no token."""
    environment: str
    path: dict[str, str]
    given: dict[str, Any]
    """Query parameters and headers of the route, those that were sent."""
    body: Any = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler says where a body alone doesn't do."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = {}


async def read(
    asked: Asked,
    matched: routes.Matched,
    caller: Caller | None,
    limit_bytes: int,
    patience_s: float,
) -> Ask:
    """ProblemError for what can't be read."""
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    try:
        given = routes.values_of(matched.route, query, asked.request.headers)
        said = asked.request.headers.get(ENVIRONMENT_HEADER, DEFAULT)
        environment: str = routes.read(routes.ENVIRONMENT, given.get("environment", said))
    except ValueError as error:
        raise ProblemError(422, str(error)) from error
    body = None
    if matched.route.body is not None:
        body = _decoded(asked, matched.route.body, await _body(asked, limit_bytes, patience_s))
    return Ask(
        asked=asked,
        route=matched.route,
        account="" if caller is None else caller.account,
        environment=environment,
        path=matched.values,
        given=given,
        body=body,
    )


async def _body(asked: Asked, limit_bytes: int, patience_s: float) -> bytes:
    try:
        upload = Upload(asked.request, limit_bytes, patience_s)
        return b"" if upload.is_empty else await upload.collected()
    except BodyTooLarge as error:
        raise ProblemError(413, str(error)) from error
    except (TimeoutError, asyncio.IncompleteReadError) as error:
        raise ProblemError(408, "the body did not come in time") from error


def _decoded(asked: Asked, kind: type[Any], body: bytes) -> Any:
    if not body:
        return kind()
    sent = asked.request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
    if sent != JSON and not sent.endswith("+json"):
        raise ProblemError(415, f"Content-Type is {sent!r}: send JSON as {JSON}")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ProblemError(422, f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, f"the body is not JSON: {error}") from error


def response(said: object, ask: Ask) -> web.StreamResponse:
    """What is sent for what a handler returned: a response of its own, an Answer or a body."""
    if isinstance(said, web.StreamResponse):
        return said
    answer = said if isinstance(said, Answer) else Answer(body=said, status=ask.route.status)
    headers: Mapping[str, str] = {REQUEST_ID: ask.asked.request_id, **answer.headers}
    if answer.body is None:
        return web.Response(status=answer.status, headers=headers)
    body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
    return web.Response(status=answer.status, body=body, content_type=JSON, headers=headers)
