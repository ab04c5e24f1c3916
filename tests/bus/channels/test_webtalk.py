"""Both ends of a web session: order, flow control, the close."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_bus.channels.webtalk import Talk, TalkOver
from squall_contracts.web import CHUNK_BYTES, WINDOW_BYTES, Closed, Credit, Data, Frame


def data(chunk: bytes, more: bool) -> Data:
    return Data("s", chunk, more)


class Wire:
    """Two talks, each of which hears what the other sends."""

    def __init__(self) -> None:
        self.sent = 0
        self.a = Talk("s", self._to_b)
        self.b = Talk("s", self.a.hear)

    def _to_b(self, frame: Frame) -> None:
        if isinstance(frame, Data):
            self.sent += len(frame.data)
        self.b.hear(frame)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3 * CHUNK_BYTES), max_size=12))
async def test_what_is_said_arrives_whole_and_in_order(sizes: list[int]) -> None:
    wire = Wire()
    bodies = [bytes([at % 256]) * size for at, size in enumerate(sizes)]

    async def speak() -> None:
        for body in bodies:
            await wire.a.say(body, data, True)
        await wire.a.say(b"", data, False)

    heard: list[bytes] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(speak())
        more = True
        while more:
            frame = await wire.b.take()
            assert isinstance(frame, Data)
            assert len(frame.data) <= CHUNK_BYTES
            heard.append(frame.data)
            more = frame.more
    assert b"".join(heard) == b"".join(bodies)


async def test_a_writer_waits_for_a_reader_who_does_not_read() -> None:
    wire = Wire()
    writing = asyncio.create_task(wire.a.say(bytes(10 * WINDOW_BYTES), data, False))
    await asyncio.sleep(0)
    assert wire.sent <= WINDOW_BYTES + CHUNK_BYTES
    assert not writing.done()
    got = 0
    while got < 10 * WINDOW_BYTES:
        frame = await wire.b.take()
        assert isinstance(frame, Data)
        got += len(frame.data)
        assert wire.sent - got <= WINDOW_BYTES + CHUNK_BYTES
    await writing


async def test_the_close_comes_after_all_that_was_sent_before() -> None:
    talk = Talk("s", lambda frame: None)
    talk.hear(Data("s", b"last", False))
    talk.hear(Closed("s", 1000))
    assert await talk.take() == Data("s", b"last", False)
    assert await talk.take() == Closed("s", 1000)
    assert (await talk.until_closed()).code == 1000


async def test_a_writer_who_waits_learns_of_the_close() -> None:
    talk = Talk("s", lambda frame: None)
    writing = asyncio.create_task(talk.say(bytes(2 * WINDOW_BYTES), data, False))
    await asyncio.sleep(0)
    talk.hear(Closed("s", 1006))
    with pytest.raises(TalkOver):
        await writing
    with pytest.raises(TalkOver):
        await talk.say(b"x", data, False)


async def test_nothing_is_sent_to_an_end_that_has_closed() -> None:
    sent: list[Frame] = []
    talk = Talk("s", sent.append)
    talk.hear(Closed("s"))
    talk.tell(Credit("s", 1))
    assert sent == []
