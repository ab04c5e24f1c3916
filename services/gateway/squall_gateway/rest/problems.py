"""Refusals of the REST API, as RFC 9457 has them."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web
from squall_contracts.failures import Failure, FailureKind

from squall_gateway.rest.words import CallError, Problem, ProblemKind
from squall_gateway.web.bodies import REQUEST_ID

MEDIA_TYPE: Final = "application/problem+json"
KINDS: Final[dict[int, tuple[ProblemKind, str]]] = {
    400: ("bad-request", "The request is malformed"),
    401: ("unauthorized", "A token is needed"),
    403: ("forbidden", "The token does not allow this"),
    404: ("not-found", "There is no such thing"),
    405: ("method-not-allowed", "There is no such method here"),
    408: ("timeout", "The request did not come in time"),
    409: ("conflict", "The call was cancelled"),
    413: ("too-large", "The request is too large"),
    415: ("unsupported-media-type", "The body is not JSON"),
    422: ("invalid", "What was asked can't be done"),
    500: ("internal", "Something went wrong"),
    502: ("container-lost", "No container could run the call"),
    503: ("unavailable", "The server can't do this just now"),
    504: ("function-timeout", "The function ran out of time"),
}
REFUSALS: Final[dict[str, int]] = {
    "invalid": 422,
    "not_found": 404,
    "already_exists": 409,
    "denied": 403,
    "exhausted": 503,
    "internal": 500,
}
"""Statuses of what the control API refuses."""
_FAILURES: Final[dict[FailureKind, int]] = {
    "timeout": 504,
    "cancelled": 409,
    "container_lost": 502,
    "startup": 502,
    "arguments": 422,
}


_RAISED: Final[tuple[ProblemKind, str]] = ("function-failed", "The function failed")
_OF_FUNCTIONS: Final[dict[FailureKind, tuple[ProblemKind, str]]] = {
    "result": ("result-not-json", "The function's result is not JSON")
}


class ProblemError(Exception):
    """A request is refused."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        call_id: str | None = None,
        error: CallError | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.call_id = call_id
        self.error = error


def failed(call_id: str, failure: Failure) -> ProblemError:
    """A call that was waited for has failed."""
    status = _FAILURES.get(failure.kind, 500)
    return ProblemError(status, failure.message, call_id=call_id, error=error_of(failure))


def error_of(failure: Failure) -> CallError:
    return CallError(
        kind=failure.kind,
        message=failure.message,
        exception_type=failure.exception_type,
        traceback=failure.traceback,
    )


def response(problem: ProblemError, request_id: str) -> web.Response:
    kind, title = KINDS[problem.status]
    if problem.error is not None and problem.status == 500:
        kind, title = _OF_FUNCTIONS.get(problem.error.kind, _RAISED)
    said = Problem(
        type=f"urn:squall:{kind}",
        title=title,
        status=problem.status,
        detail=str(problem),
        instance=request_id,
        call_id=problem.call_id,
        error=problem.error,
    )
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(said),
        content_type=MEDIA_TYPE,
        headers={REQUEST_ID: request_id, **problem.headers},
    )
