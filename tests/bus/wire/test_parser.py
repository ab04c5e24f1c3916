"""Reading the server's stream of bytes, however it is cut."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from squall_bus.wire.base import decode_headers, encode_headers, status_of, status_text
from squall_bus.wire.parser import WireParser

Message = tuple[str, str, bytes, bytes | None]


class Control:
    """Notes what is not a message."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def _process_err(self, err_msg: str) -> None:
        self.seen.append(err_msg)

    async def _process_ping(self) -> None:
        self.seen.append("PING")

    async def _process_pong(self) -> None:
        self.seen.append("PONG")

    async def _process_info(self, info: dict[str, object]) -> None:
        self.seen.append(str(info))


def wire_form(message: Message) -> bytes:
    subject, reply, payload, headers = message
    middle = f" {reply}" if reply else ""
    if headers is None:
        return f"MSG {subject} 7{middle} {len(payload)}\r\n".encode() + payload + b"\r\n"
    total = len(headers) + len(payload)
    head = f"HMSG {subject} 7{middle} {len(headers)} {total}\r\n".encode()
    return head + headers + payload + b"\r\n"


token = st.text("abcXYZ019_-$", min_size=1, max_size=8)
subject = st.lists(token, min_size=1, max_size=4).map(".".join)
headers = st.one_of(
    st.none(),
    st.dictionaries(token, st.text("abc :;", max_size=5).map(str.strip), max_size=3).map(
        encode_headers
    ),
    st.just(b"NATS/1.0 503\r\n\r\n"),
)
message = st.tuples(subject, st.one_of(st.just(""), subject), st.binary(max_size=300), headers)
STALE = b"-ERR 'Stale Connection'\r\n"
INFO = b'INFO {"a":1}\r\n'
CONTROLS = [b"PING\r\n", b"PONG\r\n", b"+OK\r\n", STALE, INFO]


async def feed(
    sent: Sequence[Message | bytes], cuts: Sequence[int], take: Callable[[bytes], Awaitable[None]]
) -> None:
    """Give what was sent to `take`, cut into pieces of these sizes by turns."""
    data = b"".join(part if isinstance(part, bytes) else wire_form(part) for part in sent)
    position = turn = 0
    while position < len(data):
        size = cuts[turn % len(cuts)]
        await take(data[position : position + size])
        position += size
        turn += 1


@given(
    st.lists(st.one_of(message, st.sampled_from(CONTROLS)), max_size=20),
    st.lists(st.integers(min_value=1, max_value=40), min_size=1),
)
def test_messages_arrive_whole_and_in_order_however_the_bytes_are_cut(
    sent: list[Message | bytes], cuts: list[int]
) -> None:
    heard: list[Message] = []
    control = Control()
    parser = WireParser(control, {"7": lambda *message: heard.append(message)})
    asyncio.run(feed(sent, cuts, parser.parse))
    assert heard == [part for part in sent if not isinstance(part, bytes)]
    said = {b"PING\r\n": "PING", b"PONG\r\n": "PONG", STALE: "'Stale Connection'"}
    said[INFO] = "{'a': 1}"
    controls = [said[p] for p in sent if isinstance(p, bytes) and p in said]
    assert control.seen == controls


def test_a_listener_that_raises_does_not_stop_the_others() -> None:
    heard: list[bytes] = []

    def raises(*_: object) -> None:
        raise RuntimeError("its own fault")

    handlers = {"1": raises, "2": lambda s, r, data, h: heard.append(data)}
    parser = WireParser(Control(), handlers)
    asyncio.run(parser.parse(b"MSG a 1 1\r\nx\r\nMSG a 3 1\r\ny\r\nMSG a 2 1\r\nz\r\n"))
    assert heard == [b"z"]


@given(st.dictionaries(token, st.text(st.characters(codec="utf-8", categories=["L"]))))
def test_headers_survive_their_encoding(given_headers: dict[str, str]) -> None:
    assert decode_headers(encode_headers(given_headers)) == given_headers


def test_a_status_is_read_from_its_line() -> None:
    block = b"NATS/1.0 409 Leadership Change\r\nNats-Pending-Messages: 3\r\n\r\n"
    assert status_of(block) == 409
    assert status_text(block) == "Leadership Change"
    assert decode_headers(block) == {"Nats-Pending-Messages": "3"}
    assert status_of(encode_headers({"A": "b"})) == 0
    assert status_of(None) == 0


@given(
    st.lists(st.one_of(message, st.sampled_from(CONTROLS)), max_size=20),
    st.lists(st.integers(min_value=1, max_value=40), min_size=1),
)
def test_what_is_taken_at_once_and_what_is_left_to_the_reader_is_all_there_is(
    sent: list[Message | bytes], cuts: list[int]
) -> None:
    heard: list[Message] = []
    control = Control()
    parser = WireParser(control, {"7": lambda *message: heard.append(message)})

    async def pass_on(piece: bytes) -> None:
        left = parser.take(piece)
        if left:
            assert left.startswith((b"PING", b"PONG", b"+OK", b"-ERR", b"INFO"))
            await parser.parse(left)

    asyncio.run(feed(sent, cuts, pass_on))
    assert heard == [part for part in sent if not isinstance(part, bytes)]
    assert len(control.seen) == sum(part in CONTROLS and part != b"+OK\r\n" for part in sent)
