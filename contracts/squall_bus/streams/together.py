"""Storing messages of one stream all or none, in order and with nothing in between."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from squall_contracts.message import new_id

from squall_bus.asking.replies import ConnectionLost, Reply
from squall_bus.errors import NoResponder, StorageOff, StoreRefused, StoreTimeout
from squall_bus.streams.acks import UNAVAILABLE, answers_alone, read_ack
from squall_bus.tasks import within
from squall_bus.wire.base import encode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

MOST_TOGETHER: Final = 1000
"""The server takes no more at once."""
ALREADY_STORED: Final = 10201
"""It has messages of these ids; since all are stored or none, it has them all."""
TOO_MANY_OPEN: Final = frozenset({10176, 10199, 10210, 10211})
"""Its words for too many unfinished groups, or for one it has lost track of."""
_ATTEMPT_S: Final = 5.0
_RETRY_S: Final = 0.05
_RETRY_MAX_S: Final = 1.0


async def store_together(
    bus: "Bus",
    subject: str,
    payloads: Sequence[bytes],
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
) -> None:
    """Store up to MOST_TOGETHER payloads on `subject`, each with `headers`, all or none.

    Tried again through restarts under the same message ids, so never stored twice. StoreRefused,
    StoreTimeout, StorageOff, PermissionRefused.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    stem = new_id("tg")
    delay_s = _RETRY_S
    while True:
        try:
            reply = await within(_ATTEMPT_S, _send(bus, subject, payloads, headers or {}, stem))
        except (ConnectionLost, NoResponder, TimeoutError):
            pass
        else:
            if status_of(reply.headers) == 0 and _is_stored(reply, subject):
                return
        if loop.time() + delay_s > deadline:
            if await answers_alone(bus.wire):
                raise StorageOff(subject, timeout_s)
            raise StoreTimeout(subject, timeout_s)
        await asyncio.sleep(delay_s)
        delay_s = min(_RETRY_MAX_S, delay_s * 2)


async def _send(
    bus: "Bus", subject: str, payloads: Sequence[bytes], headers: Mapping[str, str], stem: str
) -> Reply:
    """Send one group and await the answer to its last message."""
    if not bus.is_connected:
        raise ConnectionLost(f"{subject!r} was not sent: the server is away")
    group = new_id("g")
    epoch = bus.wire.epoch
    last = len(payloads)
    for number, payload in enumerate(payloads, 1):
        block = {
            **headers,
            "Nats-Msg-Id": f"{stem}.{number}",
            "Nats-Batch-Id": group,
            "Nats-Batch-Sequence": str(number),
        }
        if number == last:
            return await bus.begin_call(
                subject, payload, headers={**block, "Nats-Batch-Commit": "1"}
            )
        bus.wire.send(subject, payload, "", encode_headers(block))
        await bus.wire.writable()
        if bus.wire.epoch != epoch:
            raise ConnectionLost(f"{subject!r}: the connection broke")
    raise ValueError("there is nothing to store")


def _is_stored(reply: Reply, subject: str) -> bool:
    """Whether it is; False: try again. StoreRefused."""
    error = read_ack(reply.data).error
    if error is None or error.err_code == ALREADY_STORED:
        return True
    if error.err_code in UNAVAILABLE or error.err_code in TOO_MANY_OPEN:
        return False
    raise StoreRefused(error.err_code, error.description, subject)
