"""Looking at one stored message: by the quickest way that is not behind what was stored.

On one server a direct get is that. In a cluster any replica answers direct gets, and one that is some
milliseconds behind would not know what its asker has just stored: there the stream's leader is asked.
"""

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from squall_bus.asking.api import ask_again, call_api
from squall_bus.asking.replies import Reply
from squall_bus.errors import NotFound
from squall_bus.wire.base import encode_headers

if TYPE_CHECKING:
    from squall_bus.bus import Bus

_NOTHING: Final = Reply(b"", b"NATS/1.0 404\r\n\r\n")


async def newest(bus: "Bus", stream: str, subject: str) -> Reply:
    """The newest message of `subject`, no wildcard, as a direct get replies: status 404 if there is
    none."""
    if not bus.wire.is_clustered:
        return await ask_again(bus, f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")
    return await _of_leader(bus, stream, {"last_by_subj": subject})


async def following(bus: "Bus", stream: str, subject_filter: str, from_seq: int) -> Reply:
    """The first message from `from_seq` on that matches; status 404 if there is none."""
    body = {"seq": from_seq, "next_by_subj": subject_filter}
    if not bus.wire.is_clustered:
        return await ask_again(bus, f"$JS.API.DIRECT.GET.{stream}", json.dumps(body).encode())
    return await _of_leader(bus, stream, body)


async def _of_leader(bus: "Bus", stream: str, body: dict[str, Any]) -> Reply:
    try:
        found = (await call_api(bus, f"STREAM.MSG.GET.{stream}", body))["message"]
    except NotFound:
        return _NOTHING
    own = base64.b64decode(found.get("hdrs") or "") or encode_headers({})
    named = {
        "Nats-Stream": stream,
        "Nats-Subject": found["subject"],
        "Nats-Sequence": str(found["seq"]),
        "Nats-Time-Stamp": found["time"],
    }
    block = own[: -len(b"\r\n")] + encode_headers(named).partition(b"\r\n")[2]
    return Reply(base64.b64decode(found.get("data") or ""), block)
