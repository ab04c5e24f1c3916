"""Consumers in memory, with the rules of the real ones that our code relies on."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from squall_bus.asking.api import NANOSECONDS, Json
from squall_bus.fake.streams import FakeStream, Kept, matches


@dataclass(slots=True)
class _Asked:
    reply: str
    left: int
    expires_at: float
    heartbeat_s: float


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
            "delivered": {"stream_seq": max(self.counts, default=0)},
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
        stored_ns = int(kept.stored_at * NANOSECONDS)
        place = (self.stream.name, self.name, count, kept.seq, self.sequence)
        words = (*place, stored_ns, self.pending())
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
