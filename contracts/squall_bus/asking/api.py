"""The server's stream API: JSON requests and replies, tried again while the server is not ready."""

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from squall_bus.asking.replies import ConnectionLost, Reply
from squall_bus.errors import ApiRefused, NoResponder, NotFound, RequestTimeout
from squall_bus.streams.acks import UNAVAILABLE
from squall_bus.tasks import within

if TYPE_CHECKING:
    from squall_bus.bus import Bus

NANOSECONDS: Final = 1_000_000_000
STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
MESSAGE_NOT_FOUND: Final = 10037
PEERS_AWAY: Final = 10005
"""Fewer servers are there than a stream wants replicas: one may just be starting."""
NOT_ENABLED: Final = 10039
"""A server of a cluster that has just started says so of an account it has not read yet."""
_MISSING: Final = frozenset({STREAM_NOT_FOUND, CONSUMER_NOT_FOUND, MESSAGE_NOT_FOUND})

Json = dict[str, Any]


async def ask_again(bus: "Bus", subject: str, payload: bytes, *, timeout_s: float = 15.0) -> Reply:
    """The server's reply to what may be asked twice: asked again while it is away or just starting.

    NoResponder, RequestTimeout or replies.ConnectionLost once `timeout_s` is over.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    delay_s = 0.05
    while True:
        left_s = deadline - loop.time()
        try:
            return await within(max(0.05, min(5.0, left_s)), bus.begin_call(subject, payload))
        except (NoResponder, ConnectionLost):
            if left_s <= delay_s:
                raise
        except TimeoutError as error:
            if left_s <= delay_s:
                raise RequestTimeout(subject, timeout_s) from error
        await asyncio.sleep(delay_s)
        delay_s = min(1.0, delay_s * 2)


async def call_api(
    bus: "Bus", verb: str, body: Json | None = None, *, timeout_s: float = 15.0
) -> Json:
    """The reply to `$JS.API.<verb>`. NotFound, ApiRefused, PermissionRefused; as `ask_again`.

    A server that can't yet say is asked again too.
    """
    payload = b"" if body is None else json.dumps(body).encode()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    delay_s = 0.05
    while True:
        left_s = deadline - loop.time()
        reply = await ask_again(bus, f"$JS.API.{verb}", payload, timeout_s=left_s)
        answer: Json = json.loads(reply.data)
        fault = answer.get("error")
        if fault is None:
            return answer
        code = int(fault.get("err_code", 0))
        if not _passes(bus, code) or left_s <= delay_s:
            kind = NotFound if code in _MISSING else ApiRefused
            raise kind(code, str(fault.get("description", "")), verb)
        await asyncio.sleep(delay_s)
        delay_s = min(1.0, delay_s * 2)


def _passes(bus: "Bus", code: int) -> bool:
    """Whether the same request may be answered otherwise in a moment."""
    return code in (*UNAVAILABLE, PEERS_AWAY) or (code == NOT_ENABLED and bus.wire.is_clustered)
