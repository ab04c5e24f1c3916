"""Streams and consumers in memory, with the rules of the real ones that our code relies on."""

import heapq
import itertools
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from squall_bus._wire import decode_headers, encode_headers
from squall_bus.api import NANOSECONDS, Json

WRONG_LAST: Final = 10071
TOO_MANY: Final = 10077
_TTL: Final = re.compile(r"(\d+)s?")

Send = Callable[[str, str, bytes, bytes | None], None]
"""Publish subject, reply, payload and header block to whoever listens."""


class Clock:
    """Time that passes by itself and can be moved on; timers go off in both cases."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._offset_s = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._wake: Any = None

    def now(self) -> float:
        return float(self._loop.time()) + self._offset_s

    def unix(self) -> float:
        return time.time() + self._offset_s

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._count), do))
        self._arm()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._offset_s += seconds
        self._ring()

    def stop(self) -> None:
        self._timers.clear()
        if self._wake is not None:
            self._wake.cancel()

    def _arm(self) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._timers:
            self._wake = self._loop.call_later(
                max(0.0, self._timers[0][0] - self.now()), self._ring
            )

    def _ring(self) -> None:
        while self._timers and self._timers[0][0] <= self.now() + 0.001:
            heapq.heappop(self._timers)[2]()
        self._arm()


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


@dataclass(slots=True)
class _Asked:
    reply: str
    left: int
    expires_at: float
    heartbeat_s: float


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


class FakeConsumer:
    """One consumer: pull with acks, pull without, or push without."""

    def __init__(self, stream: FakeStream, config: Json) -> None:
        self.stream = stream
        self.config = config
        self.clock = stream.clock
        self.name = str(config.get("durable_name") or config["name"])
        one = config.get("filter_subject")
        self.filters: list[str] = [one] if one else list(config.get("filter_subjects") or [">"])
        self._wanted: dict[str, bool] = {}
        self.acks = config.get("ack_policy") == "explicit"
        self.ack_wait_s = int(config.get("ack_wait") or 30 * NANOSECONDS) / NANOSECONDS
        self.position = int(config.get("opt_start_seq") or 1)
        self.queue: deque[int] = deque()
        self.again: deque[int] = deque()
        self.open: dict[int, int] = {}
        """Unsettled deliveries: stream sequence -> which attempt."""
        self.counts: dict[int, int] = {}
        self.asked: deque[_Asked] = deque()
        self.sequence = 0
        self.gone = False
        if config.get("deliver_policy") == "last_per_subject":
            newest = [seqs[-1] for s, seqs in stream.by_subject.items() if self._wants(s)]
            self.queue.extend(sorted(newest))
            self.position = stream.last_seq + 1
        elif config.get("deliver_policy") == "new":
            self.position = stream.last_seq + 1

    def _wants(self, subject: str) -> bool:
        known = self._wanted.get(subject)
        if known is None:
            known = any(matches(pattern, subject) for pattern in self.filters)
            self._wanted[subject] = known
        return known

    def info(self) -> Json:
        return {
            "name": self.name,
            "stream_name": self.stream.name,
            "config": self.config,
            "num_pending": self.pending(),
            "num_ack_pending": len(self.open),
            "num_waiting": len(self.asked),
            "num_redelivered": sum(count > 1 for count in self.counts.values()),
        }

    def pending(self) -> int:
        later = sum(
            kept.seq >= self.position and self._wants(kept.subject)
            for kept in self.stream.kept.values()
        )
        return later + sum(seq in self.stream.kept for seq in self.queue)

    def ask(self, reply: str, request: Json) -> None:
        """A pull request."""
        expires_s = int(request.get("expires") or 30 * NANOSECONDS) / NANOSECONDS
        heartbeat_s = int(request.get("idle_heartbeat") or 0) / NANOSECONDS
        now = self.clock.now()
        asked = _Asked(reply, int(request.get("batch") or 1), now + expires_s, heartbeat_s)
        self.asked.append(asked)
        self.clock.at(asked.expires_at, lambda: self._over(asked))
        if heartbeat_s:
            self.clock.at(now + heartbeat_s, lambda: self._beat(asked))
        self.pump()

    def _over(self, asked: _Asked) -> None:
        if asked in self.asked:
            self.asked.remove(asked)
            left = f"Nats-Pending-Messages: {asked.left}\r\nNats-Pending-Bytes: 0"
            block = f"NATS/1.0 408 Request Timeout\r\n{left}\r\n\r\n".encode()
            self.stream.send(asked.reply, "", b"", block)

    def _beat(self, asked: _Asked) -> None:
        if asked in self.asked and not self.gone:
            self.stream.send(asked.reply, "", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n")
            self.clock.at(self.clock.now() + asked.heartbeat_s, lambda: self._beat(asked))

    def drop_requests(self, listened_to: Callable[[str], bool]) -> None:
        """Forget requests whose inbox nobody listens to any more."""
        self.asked = deque(asked for asked in self.asked if listened_to(asked.reply))

    def pump(self) -> None:
        """Deliver what there is to whoever asked."""
        target = self.config.get("deliver_subject")
        limit = int(self.config.get("max_ack_pending") or 1000) if self.acks else -1
        while not self.gone and (target or self.asked):
            if 0 < limit <= len(self.open):
                return
            kept = self._take()
            if kept is None:
                return
            self._deliver(kept, target or self._next_reply())

    def _next_reply(self) -> str:
        asked = self.asked[0]
        asked.left -= 1
        if not asked.left:
            self.asked.popleft()
        return asked.reply

    def _take(self) -> Kept | None:
        for waiting in (self.again, self.queue):
            while waiting:
                kept = self.stream.kept.get(waiting.popleft())
                if kept is not None:
                    return kept
        while self.position <= self.stream.last_seq:
            kept = self.stream.kept.get(self.position)
            self.position += 1
            if kept is not None and self._wants(kept.subject):
                return kept
        return None

    def _deliver(self, kept: Kept, to: str) -> None:
        self.sequence += 1
        count = self.counts.get(kept.seq, 0) + 1
        self.counts[kept.seq] = count
        if self.acks:
            self.open[kept.seq] = self.sequence
            self._wait_for_ack(kept.seq, self.sequence)
        words = (self.stream.name, self.name, count, kept.seq, self.sequence, 0, self.pending())
        ack = "$JS.ACK." + ".".join(map(str, words))
        data = b"" if self.config.get("headers_only") else kept.data
        self.stream.send(f"{to}\n{kept.subject}", ack, data, kept.headers)

    def _wait_for_ack(self, seq: int, sequence: int) -> None:
        def over() -> None:
            if self.open.get(seq) == sequence:
                self._redeliver(seq)

        self.clock.at(self.clock.now() + self.ack_wait_s, over)

    def _redeliver(self, seq: int) -> None:
        if self.open.pop(seq, None) is not None:
            self.again.append(seq)
            self.pump()

    def settle(self, seq: int, body: bytes) -> None:
        """An ack, in any of its forms."""
        if seq not in self.open:
            return
        if body.startswith(b"+WPI"):
            self.sequence += 1
            self.open[seq] = self.sequence
            self._wait_for_ack(seq, self.sequence)
        elif body.startswith(b"-NAK"):
            delay = json.loads(body[4:])["delay"] if body[4:].strip() else 0
            if delay:
                self.open[seq] = -1
                due = self.clock.now() + delay / NANOSECONDS
                self.clock.at(due, lambda: self._redeliver(seq))
            else:
                self._redeliver(seq)
        else:
            del self.open[seq]
            if self.stream.config.get("retention") == "workqueue":
                self.stream.remove(seq)
            self.pump()

    def forget(self, seq: int) -> None:
        """The stream no longer has it."""
        self.open.pop(seq, None)
        self.counts.pop(seq, None)


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

    def consumer(self, stream: str, name: str) -> FakeConsumer:
        found = self.stream(stream).consumers.get(name)
        if found is None:
            raise ApiFault(404, 10014, "consumer not found")
        return found
