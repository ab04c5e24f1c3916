"""Tokens with which HTTP clients reach a port of a sandbox."""

import json
from typing import Any, NamedTuple

from squall_contracts.sandboxes import MAX_METADATA, ConnectToken, CreateConnectToken

from squall import _client, _validate
from squall.exception import InvalidError


class SandboxConnectCredentials(NamedTuple):
    """Where a sandbox is reached, and what opens it."""

    url: str
    token: str


async def connect(
    sandbox_id: str, user_metadata: str | dict[str, Any] | None, port: int
) -> SandboxConnectCredentials:
    """On the SDK loop. InvalidError, NotFoundError: the sandbox has ended."""
    asked = CreateConnectToken(
        sandbox_id=sandbox_id,
        port=_validate.whole("port", port, least=1, most=65535),
        metadata=_metadata(user_metadata),
    )
    client = await _client.connected()
    made: ConnectToken = await client.control(asked)  # type: ignore[call-overload]  # its table is full
    return SandboxConnectCredentials(made.url, made.token)


def _metadata(given: object) -> str | None:
    text = given
    if isinstance(given, dict):
        try:
            text = json.dumps(given)
        except (TypeError, ValueError) as error:
            raise InvalidError(f"user_metadata can't be spelled as JSON: {error}") from error
    if text is not None and not isinstance(text, str):
        raise InvalidError(f"user_metadata is a str or a dict, not {given!r}")
    if text is not None and (len(text) > MAX_METADATA or not text.isprintable()):
        raise InvalidError(f"user_metadata must be one line of at most {MAX_METADATA} characters")
    return text
