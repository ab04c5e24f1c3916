"""The table of routes: what requests are answered by, and what the OpenAPI document is made of."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from squall_gateway.rest import words
from squall_gateway.web.core import decoded

PREFIX: Final = "/v1"
Type = Any
"""What msgspec takes for a type: classes and what is Annotated."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter or header."""

    name: str
    kind: Type
    about: str
    place: Literal["query", "header"] = "query"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation."""

    method: str
    path: str
    """Below the prefix; `{name}` is one segment."""
    operation: str
    """Its id, and the method of the API that answers."""
    about: str
    reply: Type = None
    """None: it answers without a body."""
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses of success, with the same body."""
    body: Type = None
    """None: it takes none."""
    given: tuple[Given, ...] = ()
    errors: tuple[int, ...] = ()
    """Beside those of every route that needs a token."""
    is_open: bool = False
    """It needs no token."""
    streams: bool = False
    """It answers with server-sent events."""


class Matched(msgspec.Struct, frozen=True):
    """The route of a request and its path's values."""

    route: Route
    values: dict[str, str]


ENVIRONMENT: Final = Given(
    name="environment",
    kind=words.EnvironmentName,
    about="Of the workspace; `main` by default. The header `Squall-Environment` says the same.",
)
_WAIT: Final = Given(
    name="wait",
    kind=bool,
    about="`false`: answer 202 at once, as `Prefer: respond-async` does.",
)
_PREFER: Final = Given(
    name="Prefer",
    kind=str,
    about="RFC 7240: `respond-async`, or `wait=<seconds>`.",
    place="header",
)
_INDEX: Final = Given(
    name="index",
    kind=words.Index,
    about="Which input, of a call made with several.",
)
_LAST: Final = Given(
    name="Last-Event-ID",
    kind=str,
    about="Position of the last item that came: the stream goes on behind it.",
    place="header",
)
_OF_APP: Final = Given(name="app", kind=str, about="Only letters of this app.")
_OF_FUNCTION: Final = Given(name="function", kind=str, about="Only letters of this function.")
_FUNCTION: Final = "/functions/{app}/{function}"

ROUTES: Final = (
    Route(
        method="GET", path="/health", operation="health", reply=words.Health, is_open=True,
        about="Whether this server lives.",
    ),
    Route(
        method="GET", path="/ready", operation="ready", reply=words.Ready, is_open=True,
        errors=(503,), about="Whether this server takes requests: not while it ends.",
    ),
    Route(
        method="GET", path="/openapi.json", operation="openapi", reply=dict, is_open=True,
        about="This document.",
    ),
    Route(
        method="GET", path="/apps", operation="apps", reply=words.AppsReply, given=(ENVIRONMENT,),
        about="The apps of an environment.",
    ),
    Route(
        method="GET", path="/functions", operation="functions", reply=words.FunctionsReply,
        given=(ENVIRONMENT,), about="The functions of an environment.",
    ),
    Route(
        method="GET", path=_FUNCTION, operation="function", reply=words.FunctionReply,
        given=(ENVIRONMENT,), about="A deployed function or class.",
    ),
    Route(
        method="GET", path=f"{_FUNCTION}/stats", operation="stats", reply=words.StatsReply,
        given=(ENVIRONMENT,), about="How a deployed function fares right now.",
    ),
    Route(
        method="POST", path=f"{_FUNCTION}/call", operation="call", reply=words.Call, also=(202,),
        body=words.CallRequest, given=(ENVIRONMENT, _WAIT, _PREFER),
        errors=(408, 409, 413, 415, 500, 502, 504),
        about="Call a deployed function, or a method of a class as `<Class>.<method>`, and wait for "
        "its result. 202: it is not there yet, ask at `Location`.",
    ),
    Route(
        method="GET", path="/calls/{call_id}", operation="get_call", reply=words.Call,
        given=(ENVIRONMENT, _INDEX), about="A call as it stands.",
    ),
    Route(
        method="GET", path="/calls/{call_id}/stream", operation="stream_call", streams=True,
        given=(ENVIRONMENT, _LAST),
        about="Server-sent events of a call: `item` for each of a generator's, `retrying`, and at the "
        "end `done` with the call.",
    ),
    Route(
        method="DELETE", path="/calls/{call_id}", operation="cancel_call", status=204,
        given=(ENVIRONMENT,), about="Cancel a call; one that is over stays as it is.",
    ),
    Route(
        method="GET", path="/dead-letters", operation="letters", reply=words.LettersReply,
        given=(ENVIRONMENT, _OF_APP, _OF_FUNCTION), about="Inputs that failed for good.",
    ),
    Route(
        method="DELETE", path="/dead-letters", operation="purge_letters", reply=words.Purged,
        given=(ENVIRONMENT, _OF_APP, _OF_FUNCTION), about="Throw dead letters away.",
    ),
    Route(
        method="GET", path="/dead-letters/{letter_id}", operation="get_letter", reply=words.Letter,
        given=(ENVIRONMENT,), about="One dead letter.",
    ),
    Route(
        method="POST", path="/dead-letters/{letter_id}/retry", operation="retry_letter",
        reply=words.Call, status=202, given=(ENVIRONMENT,), errors=(409,),
        about="Run a dead letter's input again, as a new call; the letter goes.",
    ),
    Route(
        method="DELETE", path="/dead-letters/{letter_id}", operation="purge_letter", status=204,
        given=(ENVIRONMENT,), about="Throw a dead letter away.",
    ),
)  # fmt: skip


def find(method: str, raw_path: str) -> Matched | tuple[str, ...]:
    """The route of a request below the prefix, or the methods its path has: none, if nothing is
    there. HEAD is answered as GET."""
    segments = raw_path.split("/")
    allowed: list[str] = []
    for route in ROUTES:
        values = _match(route.path.split("/"), segments)
        if values is None:
            continue
        if route.method == method or (method == "HEAD" and route.method == "GET"):
            return Matched(route, values)
        allowed += ("GET", "HEAD") if route.method == "GET" else (route.method,)
    return tuple(sorted(set(allowed)))


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(template) != len(segments):
        return None
    values: dict[str, str] = {}
    for wanted, given in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            if not given:
                return None
            values[wanted[1:-1]] = decoded(given)
        elif wanted != given:
            return None
    return values


def read(given: Given, text: str) -> Any:
    """The value of a query parameter or header. ValueError says what is wrong."""
    try:
        return msgspec.convert(text, given.kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(f"{given.name}: {error}") from error


def values_of(route: Route, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
    """What was given of a route's query parameters and headers. ValueError; a query parameter that
    is none is one, too, where a token says that a program asks."""
    known = [given.name for given in route.given if given.place == "query"]
    for name in query:
        if name not in known and not route.is_open:
            raise ValueError(f"{name!r} is no query parameter here; there are: {', '.join(known)}")
    found: dict[str, Any] = {}
    for given in route.given:
        text = (query if given.place == "query" else headers).get(given.name)
        if text is not None:
            found[given.name] = read(given, text)
    return found


__all__ = ["PREFIX", "ROUTES", "Given", "Matched", "Route", "find", "read", "values_of"]
