"""The stream API of the server in memory: the verbs that our code uses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from squall_bus.asking.api import Json
from squall_bus.fake.clock import Clock
from squall_bus.fake.consumers import FakeConsumer
from squall_bus.fake.streams import ApiFault, FakeAccount, FakeStream, Kept, Send, matches
from squall_bus.wire.base import decode_headers

Direct = tuple[bytes, bytes]
"""A reply that is not JSON: payload and header block."""

END_OF_BATCH: Direct = (b"", b"NATS/1.0 204 EOB\r\n\r\n")
MISSING: Direct = (b"", b"NATS/1.0 404 Message Not Found\r\n\r\n")


class FakeApi:
    def __init__(self, account: FakeAccount, clock: Clock, send: Send) -> None:
        self._account = account
        self._clock = clock
        self._send = send
        self._verbs: dict[str, Callable[[list[str], Json], Json | Direct | list[Direct]]] = {
            "STREAM.CREATE": self._stream_create,
            "STREAM.UPDATE": self._stream_update,
            "STREAM.INFO": self._stream_info,
            "STREAM.NAMES": self._stream_names,
            "STREAM.DELETE": self._stream_delete,
            "STREAM.PURGE": self._stream_purge,
            "STREAM.MSG": self._stream_message,
            "CONSUMER.CREATE": self._consumer_create,
            "CONSUMER.INFO": self._consumer_info,
            "CONSUMER.NAMES": self._consumer_names,
            "CONSUMER.DELETE": self._consumer_delete,
            "DIRECT.GET": self._direct_get,
        }

    def answer(self, verb: str, payload: bytes, reply: str) -> Json | Direct | list[Direct] | None:
        """What to answer to `$JS.API.<verb>`; None: nothing now, or nobody there."""
        words = verb.split(".")
        body: Json = json.loads(payload) if payload else {}
        if words[:3] == ["CONSUMER", "MSG", "NEXT"]:
            self._account.consumer(words[3], words[4]).ask(reply, body)
            return None
        return self._verbs[".".join(words[:2])](words[2:], body)

    # --- streams ---------------------------------------------------------------------------------

    def _stream_create(self, words: list[str], body: Json) -> Json:
        if words[0] in self._account.streams:
            raise ApiFault(400, 10058, "stream name already in use")
        stream = FakeStream(body, self._clock, self._send)
        self._account.streams[words[0]] = stream
        return stream.info(None)

    def _stream_update(self, words: list[str], body: Json) -> Json:
        stream = self._account.stream(words[0])
        if body.get("retention") != stream.config.get("retention"):
            raise ApiFault(500, 10052, "stream update can not change the retention policy")
        stream.config = body
        return stream.info(None)

    def _stream_info(self, words: list[str], body: Json) -> Json:
        return self._account.stream(words[0]).info(body.get("subjects_filter"))

    def _stream_names(self, _: list[str], body: Json) -> Json:
        names = sorted(self._account.streams)
        return {"total": len(names), "streams": names[int(body.get("offset") or 0) :]}

    def _stream_delete(self, words: list[str], _: Json) -> Json:
        stream = self._account.stream(words[0])
        for consumer in stream.consumers.values():
            consumer.gone = True
        del self._account.streams[words[0]]
        return {"success": True}

    def _stream_purge(self, words: list[str], body: Json) -> Json:
        purged = self._account.stream(words[0]).purge(str(body.get("filter") or ">"))
        return {"success": True, "purged": purged}

    def _stream_message(self, words: list[str], body: Json) -> Json:
        if words[0] != "DELETE":
            raise ApiFault(400, 10025, f"the fake server knows no STREAM.MSG.{words[0]}")
        if not self._account.stream(words[1]).remove(int(body["seq"])):
            raise ApiFault(400, 10043, f"sequence {body['seq']} not found")
        return {"success": True}

    # --- consumers -------------------------------------------------------------------------------

    def _consumer_create(self, words: list[str], body: Json) -> Json:
        stream = self._account.stream(words[0])
        config = body["config"]
        present = stream.consumers.get(words[1])
        if present is not None:
            present.config = config
            return present.info()
        self._check_work_queue(stream, config)
        consumer = FakeConsumer(stream, config)
        stream.consumers[words[1]] = consumer
        answer = consumer.info()
        if config.get("deliver_subject"):
            self._clock.at(self._clock.now(), consumer.pump)
        return answer

    def _check_work_queue(self, stream: FakeStream, config: Json) -> None:
        """A work queue delivers each message to one consumer, so filters must not overlap."""
        if stream.config.get("retention") != "workqueue":
            return
        ours = FakeConsumer(stream, config).filters
        for other in stream.consumers.values():
            if any(_overlap(a, b) for a in ours for b in other.filters):
                raise ApiFault(400, 10100, "filtered consumer not unique on workqueue stream")

    def _consumer_info(self, words: list[str], _: Json) -> Json:
        return self._account.consumer(words[0], words[1]).info()

    def _consumer_names(self, words: list[str], body: Json) -> Json:
        names = sorted(self._account.stream(words[0]).consumers)
        return {"total": len(names), "consumers": names[int(body.get("offset") or 0) :]}

    def _consumer_delete(self, words: list[str], _: Json) -> Json:
        consumer = self._account.consumer(words[0], words[1])
        consumer.gone = True
        del consumer.stream.consumers[words[1]]
        for asked in consumer.asked:
            self._send(asked.reply, "", b"", b"NATS/1.0 409 Consumer Deleted\r\n\r\n")
        return {"success": True}

    # --- single messages -------------------------------------------------------------------------

    def _direct_get(self, words: list[str], body: Json) -> Direct | list[Direct]:
        stream = self._account.stream(words[0])
        if len(words) > 1:
            return _direct(stream, stream.last_of(".".join(words[1:])))
        pattern, first = str(body.get("next_by_subj") or ">"), int(body.get("seq") or 1)
        later = (
            kept
            for seq, kept in sorted(stream.kept.items())
            if seq >= first and matches(pattern, kept.subject)
        )
        if "batch" in body:
            found = [_direct(stream, kept) for kept in islice(later, int(body["batch"]))]
            return [*found, END_OF_BATCH] if found else MISSING
        return _direct(stream, next(later, None))


def _direct(stream: FakeStream, kept: Kept | None) -> Direct:
    if kept is None:
        return MISSING
    stored_unix_s = stream.clock.unix() - (stream.clock.now() - kept.stored_at)
    place = {
        "Nats-Stream": stream.name,
        "Nats-Subject": kept.subject,
        "Nats-Sequence": str(kept.seq),
        "Nats-Time-Stamp": datetime.fromtimestamp(stored_unix_s, UTC).isoformat(),
    }
    lines = "".join(f"{k}: {v}\r\n" for k, v in {**decode_headers(kept.headers), **place}.items())
    return kept.data, f"NATS/1.0\r\n{lines}\r\n".encode()


def _overlap(one: str, other: str) -> bool:
    """Whether some subject falls under both patterns."""
    a, b = one.split("."), other.split(".")
    for left, right in zip(a, b, strict=False):
        if ">" in (left, right):
            return True
        if left != right and "*" not in (left, right):
            return False
    return len(a) == len(b)
