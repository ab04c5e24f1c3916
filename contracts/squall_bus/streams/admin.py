"""Making, changing and looking at streams, buckets and consumers."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from squall_bus.asking.api import NANOSECONDS, Json, call_api
from squall_bus.asking.looking import following, newest
from squall_bus.errors import ApiRefused, NotFound
from squall_bus.wire.base import decode_headers, status_of

if TYPE_CHECKING:
    from squall_bus.bus import Bus

NAME_IN_USE: Final = 10058
NO_MESSAGE: Final = frozenset({10043, 10057})
"""The server's words for a message that isn't there (any more)."""
_BEHIND: Final = 1_000_000_000
MARKER_TTL_S: Final = 5
"""How long the mark stays that tells watchers a key expired; those away longer compare all keys."""


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream is to be. Seconds and bytes; None: without limit."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["workqueue", "limits", "interest"] = "limits"
    max_age_s: float | None = None
    max_bytes: int | None = None
    max_messages_per_subject: int | None = None
    storage: Literal["file", "memory"] = "file"
    replicas: int = 1
    duplicate_window_s: float = 120.0
    discard: Literal["old", "new"] = "old"
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    allow_direct: bool = True
    allow_rollup: bool = False
    max_consumers: int | None = None
    """None: what the server allows, by default 1,000."""
    max_messages_each: int | None = None
    """Refuse what would be more than so many messages of one subject."""
    allow_together: bool = False
    """Messages may be stored all or none: see squall_bus.streams.together."""
    marker_ttl_s: float | None = None
    """Mark the expiry of a subject's last message for so long."""


class ConsumerState(NamedTuple):
    pending: int
    """Messages it has yet to deliver."""
    ack_pending: int
    """Messages delivered and not settled."""
    waiting: int
    """Pull requests open."""
    redelivered: int
    delivered_seq: int = 0
    """The newest message of the stream it has delivered; 0: none."""


class StoredMessage(NamedTuple):
    subject: str
    seq: int
    data: bytes
    headers: dict[str, str]

    @property
    def stored_unix_s(self) -> float:
        return stored_unix_s(self.headers)


class Admin:
    def __init__(self, bus: "Bus") -> None:
        self._bus = bus

    # --- streams ------------------------------------------------------------------------------

    async def ensure_stream(self, config: StreamConfig) -> None:
        """Make the stream, or change it to this. ApiRefused where the server won't change it."""
        await self._ensure(stream_json(config))

    async def ensure_bucket(
        self, name: str, ttl_s: float | None = None, history: int = 1, *, replicas: int = 1
    ) -> None:
        """A key-value bucket; `ttl_s`: every key expires so long after it was put.

        Single keys may expire sooner (`put(..., ttl_s=)`), in buckets without history.
        """
        if not 1 <= history <= 64:
            raise ValueError(f"history is {history}: it must be 1 to 64")
        config = stream_json(
            StreamConfig(
                name=f"KV_{name}",
                subjects=(f"$KV.{name}.>",),
                max_age_s=ttl_s,
                max_messages_per_subject=history,
                discard="new",
                allow_rollup=True,
                replicas=replicas,
                allow_msg_ttl=True,
                # With history the server would lengthen a shorter TTL to the marker's.
                marker_ttl_s=MARKER_TTL_S if history == 1 else None,
                duplicate_window_s=min(120.0, ttl_s or 120.0),
            )
        )
        await self._ensure({**config, "deny_delete": True})

    async def ensure_objects(
        self,
        name: str,
        ttl_s: float | None = None,
        *,
        replicas: int = 1,
        own_ttls: bool = False,
    ) -> None:
        """An object store; `ttl_s`: objects expire so long after they were put, and sooner where
        they were put with a time of their own, if `own_ttls` allows that."""
        config = StreamConfig(
            name=f"OBJ_{name}",
            subjects=(f"$O.{name}.C.>", f"$O.{name}.M.>"),
            max_age_s=ttl_s,
            discard="new",
            allow_rollup=True,
            allow_msg_ttl=own_ttls,
            replicas=replicas,
            duplicate_window_s=min(120.0, ttl_s or 120.0),
        )
        await self._ensure(stream_json(config))

    async def _ensure(self, wanted: Json) -> None:
        verb_name = wanted["name"]
        for _ in range(3):
            try:
                found = await call_api(self._bus, f"STREAM.INFO.{verb_name}")
            except NotFound:
                try:
                    await call_api(self._bus, f"STREAM.CREATE.{verb_name}", wanted)
                except ApiRefused as refused:
                    if refused.err_code != NAME_IN_USE:
                        raise
                    continue  # somebody made it in between: compare it
                return
            present: Json = found["config"]
            if all(_same(present.get(key), value) for key, value in wanted.items()):
                return
            await call_api(self._bus, f"STREAM.UPDATE.{verb_name}", {**present, **wanted})
            return
        raise ApiRefused(NAME_IN_USE, "somebody else makes and removes it", str(verb_name))

    async def stream_info(self, stream: str) -> Json:
        """The server's own description. NotFound."""
        return await call_api(self._bus, f"STREAM.INFO.{stream}")

    async def streams(self) -> list[str]:
        """The names of all streams of the account."""
        names: list[str] = []
        while True:
            page = await call_api(self._bus, "STREAM.NAMES", {"offset": len(names)})
            names += page.get("streams") or []
            if len(names) >= page["total"] or not page.get("streams"):
                return names

    async def delete_stream(self, stream: str) -> bool:
        """Whether it existed."""
        return await self._gone(f"STREAM.DELETE.{stream}")

    async def backlog(self, stream: str, subject_filter: str) -> dict[str, int]:
        """How many messages each subject holds; in a work queue those in flight are included."""
        counts: dict[str, int] = {}
        while True:
            body = {"subjects_filter": subject_filter, "offset": len(counts)}
            page = await call_api(self._bus, f"STREAM.INFO.{stream}", body)
            subjects: Mapping[str, int] = page["state"].get("subjects") or {}
            counts.update(subjects)
            if not subjects or len(counts) >= int(page.get("total") or 0):
                return counts

    async def count_subjects(self, stream: str, subject_filter: str) -> int:
        """How many matching subjects hold messages."""
        # Behind the last page there are no names to send, only the total.
        body = {"subjects_filter": subject_filter, "offset": _BEHIND}
        page = await call_api(self._bus, f"STREAM.INFO.{stream}", body)
        return int(page.get("total") or 0)

    async def purge(
        self, stream: str, subject_filter: str, *, before_seq: int | None = None
    ) -> int:
        """Remove all messages of matching subjects, or those stored before `before_seq`; returns
        how many."""
        body: Json = {"filter": subject_filter}
        if before_seq is not None:
            body["seq"] = before_seq
        answer = await call_api(self._bus, f"STREAM.PURGE.{stream}", body)
        return int(answer["purged"])

    async def delete_message(self, stream: str, seq: int) -> bool:
        """Whether it was still there."""
        return await self._gone(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True})

    async def last_message(self, stream: str, subject: str) -> StoredMessage | None:
        """The newest stored message of a subject (no wildcard); None if there is none."""
        reply = await newest(self._bus, stream, subject)
        return None if status_of(reply.headers) else _stored(reply.data, reply.headers)

    async def next_message(
        self, stream: str, subject_filter: str, *, from_seq: int = 1
    ) -> StoredMessage | None:
        """The first stored message from `from_seq` on that matches; None if there is none."""
        reply = await following(self._bus, stream, subject_filter, from_seq)
        return None if status_of(reply.headers) else _stored(reply.data, reply.headers)

    # --- consumers ----------------------------------------------------------------------------

    async def ensure_consumer(
        self,
        stream: str,
        durable: str,
        *,
        subjects: tuple[str, ...] | str = (),
        ack_wait_s: float = 30.0,
        max_ack_pending: int = 1000,
        max_deliver: int = -1,
        inactive_after_s: float | None = None,
        deliver: Literal["all", "new", "last"] = "all",
    ) -> None:
        """Make or change a durable pull consumer; it goes when unused for `inactive_after_s`."""
        filters = (subjects,) if isinstance(subjects, str) else subjects
        config: Json = {
            "durable_name": durable,
            "name": durable,
            "deliver_policy": deliver,
            "ack_policy": "explicit",
            "ack_wait": int(ack_wait_s * NANOSECONDS),
            "max_ack_pending": max_ack_pending,
            "max_deliver": max_deliver,
            "max_waiting": 4096,
            "replay_policy": "instant",
        }
        if len(filters) == 1:
            config["filter_subject"] = filters[0]
        elif filters:
            config["filter_subjects"] = list(filters)
        if inactive_after_s is not None:
            config["inactive_threshold"] = int(inactive_after_s * NANOSECONDS)
        body = {"stream_name": stream, "config": config, "action": ""}
        # With the filter in its subject, the server can tell who may read what.
        named = f"{durable}.{filters[0]}" if len(filters) == 1 else durable
        await call_api(self._bus, f"CONSUMER.CREATE.{stream}.{named}", body)

    async def delete_consumer(self, stream: str, durable: str) -> bool:
        """Whether it existed."""
        return await self._gone(f"CONSUMER.DELETE.{stream}.{durable}")

    async def consumer_state(self, stream: str, durable: str) -> ConsumerState:
        """NotFound if there is no such consumer."""
        info = await call_api(self._bus, f"CONSUMER.INFO.{stream}.{durable}")
        return ConsumerState(
            int(info["num_pending"]),
            int(info["num_ack_pending"]),
            int(info.get("num_waiting", 0)),
            int(info.get("num_redelivered", 0)),
            int(info["delivered"]["stream_seq"]),
        )

    async def consumers(self, stream: str) -> list[str]:
        """The names of all consumers of a stream, ephemeral ones included."""
        names: list[str] = []
        while True:
            page = await call_api(self._bus, f"CONSUMER.NAMES.{stream}", {"offset": len(names)})
            names += page.get("consumers") or []
            if len(names) >= page["total"] or not page.get("consumers"):
                return names

    async def _gone(self, verb: str, body: Json | None = None) -> bool:
        try:
            await call_api(self._bus, verb, body)
        except NotFound:
            return False
        except ApiRefused as refused:
            if refused.err_code in NO_MESSAGE:
                return False
            raise
        return True


def stream_json(config: StreamConfig) -> Json:
    """The server's form of a stream's configuration."""
    found: Json = {
        "name": config.name,
        "subjects": list(config.subjects),
        "retention": config.retention,
        "max_age": int((config.max_age_s or 0) * NANOSECONDS),
        "max_bytes": -1 if config.max_bytes is None else config.max_bytes,
        "max_msgs_per_subject": config.max_messages_per_subject or -1,
        "storage": config.storage,
        "num_replicas": config.replicas,
        "duplicate_window": int(config.duplicate_window_s * NANOSECONDS),
        "discard": config.discard,
        "allow_direct": config.allow_direct,
        # The server allows it by itself where messages are scheduled.
        "allow_rollup_hdrs": config.allow_rollup or config.allow_msg_schedules,
    }
    if config.allow_msg_ttl:
        found["allow_msg_ttl"] = True
    if config.allow_msg_schedules:
        found["allow_msg_schedules"] = True
    if config.max_messages_each is not None:
        found["max_msgs_per_subject"] = config.max_messages_each
        found["discard"] = "new"
        found["discard_new_per_subject"] = True
    if config.allow_together:
        found["allow_atomic"] = True
    if config.max_consumers is not None:
        found["max_consumers"] = config.max_consumers
    if config.marker_ttl_s is not None:
        found["subject_delete_marker_ttl"] = int(config.marker_ttl_s * NANOSECONDS)
    return found


def stored_unix_s(headers: Mapping[str, str]) -> float:
    """When a message that was read directly had been stored."""
    return datetime.fromisoformat(headers["Nats-Time-Stamp"]).timestamp()


def _same(present: Any, wanted: Any) -> bool:
    return present == wanted or (not present and not wanted)


def _stored(data: bytes, block: bytes | None) -> StoredMessage:
    headers = decode_headers(block)
    return StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), data, headers)
