"""Streams in memory, with the rules of the real ones that our code relies on."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from squall_bus.asking.api import NANOSECONDS, Json
from squall_bus.fake.clock import Clock
from squall_bus.wire.base import decode_headers, encode_headers

if TYPE_CHECKING:
    from squall_bus.fake.consumers import FakeConsumer

WRONG_LAST: Final = 10071
TOO_MANY: Final = 10077
_TTL: Final = re.compile(r"(\d+)s?")

Send = Callable[[str, str, bytes, bytes | None], None]
"""Publish subject, reply, payload and header block to whoever listens."""


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern with `*` and `>`."""
    wanted, given = pattern.split("."), subject.split(".")
    for place, token in enumerate(wanted):
        if token == ">":
            return len(given) > place
        if place >= len(given) or token not in ("*", given[place]):
            return False
    return len(wanted) == len(given)


class ApiFault(Exception):  # noqa: N818 - an answer, not a failure of ours
    def __init__(self, code: int, err_code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.err_code = err_code
        self.description = description

    def answer(self) -> Json:
        error = {"code": self.code, "err_code": self.err_code, "description": self.description}
        return {"error": error}


@dataclass(slots=True)
class Kept:
    seq: int
    subject: str
    data: bytes
    headers: bytes | None
    stored_at: float


class FakeStream:
    def __init__(self, config: Json, clock: Clock, send: Send) -> None:
        self.config = config
        self.clock = clock
        self.send = send
        self.kept: dict[int, Kept] = {}
        self.by_subject: dict[str, list[int]] = {}
        self.last_seq = 0
        self.ids: dict[str, tuple[float, int]] = {}
        self.consumers: dict[str, FakeConsumer] = {}

    @property
    def name(self) -> str:
        return str(self.config["name"])

    def takes(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self.config["subjects"])

    # --- storing ---------------------------------------------------------------------------------

    def store(self, subject: str, data: bytes, block: bytes | None) -> Json:
        """The PubAck. ApiFault when a rule refuses the message."""
        headers = decode_headers(block)
        msg_id = headers.get("Nats-Msg-Id")
        if msg_id is not None:
            stored_at, seq = self.ids.get(msg_id, (0.0, 0))
            window_s = int(self.config.get("duplicate_window") or 0) / NANOSECONDS
            if seq and self.clock.now() - stored_at < window_s:
                return {"stream": self.name, "seq": seq, "duplicate": True}
        self._check(subject, headers)
        if headers.get("Nats-Rollup") == "sub":
            for seq in list(self.by_subject.get(subject, ())):
                self.remove(seq)
        self.last_seq += 1
        seq = self.last_seq
        self.kept[seq] = Kept(seq, subject, data, block, self.clock.now())
        self.by_subject.setdefault(subject, []).append(seq)
        if msg_id is not None:
            self.ids[msg_id] = (self.clock.now(), seq)
        self._limit(subject)
        self._plan_end(seq, headers)
        for consumer in list(self.consumers.values()):
            consumer.pump()
        return {"stream": self.name, "seq": seq}

    def _check(self, subject: str, headers: dict[str, str]) -> None:
        expected = headers.get("Nats-Expected-Last-Subject-Sequence")
        last = self.by_subject.get(subject, [0])[-1]
        if expected is not None and int(expected) != last:
            raise ApiFault(400, WRONG_LAST, f"wrong last sequence: {last}")
        limit = int(self.config.get("max_msgs_per_subject") or -1)
        per_subject = self.config.get("discard_new_per_subject")
        if per_subject and 0 < limit <= len(self.by_subject.get(subject, ())):
            raise ApiFault(503, TOO_MANY, "maximum messages per subject exceeded")

    def _limit(self, subject: str) -> None:
        limit = int(self.config.get("max_msgs_per_subject") or -1)
        while 0 < limit < len(self.by_subject[subject]):
            self.remove(self.by_subject[subject][0])

    def _plan_end(self, seq: int, headers: dict[str, str]) -> None:
        now = self.clock.now()
        ttl = _TTL.fullmatch(headers.get("Nats-TTL", ""))
        max_age_s = int(self.config.get("max_age") or 0) / NANOSECONDS
        if ttl and self.config.get("allow_msg_ttl"):
            self.clock.at(now + int(ttl[1]), lambda: self._expire(seq))
        elif max_age_s:
            self.clock.at(now + max_age_s, lambda: self._expire(seq))
        schedule = headers.get("Nats-Schedule", "")
        if schedule.startswith("@at ") and self.config.get("allow_msg_schedules"):
            due = datetime.fromisoformat(schedule[4:].replace("Z", "+00:00")).timestamp()
            target = headers["Nats-Schedule-Target"]
            self.clock.at(now + due - self.clock.unix(), lambda: self._fire(seq, target))

    def _fire(self, seq: int, target: str) -> None:
        kept = self.kept.get(seq)
        if kept is None:
            return
        self.remove(seq)
        headers = decode_headers(kept.headers)
        left = {k: v for k, v in headers.items() if not k.startswith(("Nats-Schedule", "Nats-Msg"))}
        self.store(target, kept.data, encode_headers(left))

    def _expire(self, seq: int) -> None:
        kept = self.kept.get(seq)
        if kept is None:
            return
        was_marker = kept.headers is not None and (
            b"Nats-Marker-Reason" in kept.headers or b"KV-Operation" in kept.headers
        )
        newest = self.by_subject[kept.subject][-1] == seq
        self.remove(seq)
        marker_s = int(self.config.get("subject_delete_marker_ttl") or 0) // NANOSECONDS
        if marker_s and newest and not was_marker:
            marker = {"Nats-Marker-Reason": "MaxAge", "Nats-TTL": f"{marker_s}s"}
            self.store(kept.subject, b"", encode_headers(marker))

    def remove(self, seq: int) -> bool:
        kept = self.kept.pop(seq, None)
        if kept is None:
            return False
        of_subject = self.by_subject[kept.subject]
        of_subject.remove(seq)
        if not of_subject:
            del self.by_subject[kept.subject]
        for consumer in self.consumers.values():
            consumer.forget(seq)
        return True

    def purge(self, pattern: str) -> int:
        gone = [kept.seq for kept in self.kept.values() if matches(pattern, kept.subject)]
        return sum(self.remove(seq) for seq in gone)

    # --- looking ---------------------------------------------------------------------------------

    def last_of(self, subject: str) -> Kept | None:
        seqs = self.by_subject.get(subject)
        return self.kept[seqs[-1]] if seqs else None

    def info(self, subjects_filter: str | None) -> Json:
        state: Json = {
            "messages": len(self.kept),
            "bytes": sum(len(kept.data) for kept in self.kept.values()),
            "first_seq": min(self.kept, default=self.last_seq + 1),
            "last_seq": self.last_seq,
            "num_subjects": len(self.by_subject),
            "consumer_count": len(self.consumers),
        }
        answer: Json = {"config": self.config, "state": state}
        if subjects_filter is not None:
            state["subjects"] = {
                subject: len(seqs)
                for subject, seqs in self.by_subject.items()
                if matches(subjects_filter, subject)
            }
            answer["total"] = len(state["subjects"])
        return answer


@dataclass
class FakeAccount:
    """The streams of one account."""

    streams: dict[str, FakeStream] = field(default_factory=dict)

    def stream_for(self, subject: str) -> FakeStream | None:
        return next((s for s in self.streams.values() if s.takes(subject)), None)

    def stream(self, name: str) -> FakeStream:
        found = self.streams.get(name)
        if found is None:
            raise ApiFault(404, 10059, "stream not found")
        return found

    def consumer(self, stream: str, name: str) -> "FakeConsumer":
        found = self.stream(stream).consumers.get(name)
        if found is None:
            raise ApiFault(404, 10014, "consumer not found")
        return found
