"""A stream gives what was written, in order and once, whatever gets lost on the way."""

import asyncio
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_bus.channels.stream import Stream, StreamOver
from squall_contracts.streams import WINDOW_BYTES, Ended, Frame, Piece


class Ways:
    """Two ends, and what is under way between them."""

    def __init__(self) -> None:
        self.down: deque[Frame] = deque()
        self.up: deque[Frame] = deque()
        self.here = Stream("s", self.down.append)
        self.there = Stream("s", self.up.append)

    def pass_on(self, lost: Callable[[], bool] = lambda: False) -> None:
        while self.down or self.up:
            if self.down:
                frame = self.down.popleft()
                if not lost():
                    self.there.hear(frame)
            if self.up:
                frame = self.up.popleft()
                if not lost():
                    self.here.hear(frame)


async def read_all(stream: Stream) -> tuple[bytes, Ended]:
    got = bytearray()
    while True:
        heard = await stream.read()
        if isinstance(heard, Ended):
            return bytes(got), heard
        if isinstance(heard, Piece):
            got += heard.data


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.binary(min_size=1, max_size=400_000), max_size=8),
    st.lists(st.booleans(), min_size=1, max_size=200),
)
def test_what_is_lost_is_sent_again(pieces: list[bytes], fate: list[bool]) -> None:
    async def check() -> None:
        ways = Ways()
        fates = iter(fate)

        async def write() -> None:
            for piece in pieces:
                await ways.here.write(piece)
            ways.here.end(3)

        async with asyncio.TaskGroup() as group:
            writing = group.create_task(write())
            reading = group.create_task(read_all(ways.there))
            while not reading.done():
                await asyncio.sleep(0)
                ways.pass_on(lambda: next(fates, False))
                await asyncio.sleep(0)
                if not ways.down and not ways.up:  # nothing moves: an end was away
                    ways.here.again()
                    ways.there.again()
        assert writing.done()
        data, ended = reading.result()
        assert data == b"".join(pieces)
        assert ended.code == 3

    asyncio.run(check())


async def test_writer_waits_for_a_reader_who_is_behind() -> None:
    ways = Ways()
    writing = asyncio.ensure_future(ways.here.write(bytes(WINDOW_BYTES * 2)))
    for _ in range(10):
        await asyncio.sleep(0)
        ways.pass_on()
    assert not writing.done()
    assert isinstance(await ways.there.read(), Piece)
    while not writing.done():
        await asyncio.sleep(0)
        ways.pass_on()
        await asyncio.wait_for(ways.there.read(), 1)


async def test_writing_to_an_end_that_left_is_refused() -> None:
    ways = Ways()
    ways.there.end(9, "enough")
    ways.pass_on()
    with pytest.raises(StreamOver, match="enough"):
        await ways.here.write(b"more")
    ways.here.lose("gone")
    assert (await ways.here.read()) == Ended("s", 0, 9, "enough")


async def test_end_of_input_is_not_the_end_of_output() -> None:
    ways = Ways()
    ways.here.write_eof()
    ways.pass_on()
    heard = await ways.there.read()
    assert isinstance(heard, Piece)
    assert heard.last
    await ways.there.write(b"answer")
    ways.pass_on()
    back = await ways.here.read()
    assert isinstance(back, Piece)
    assert back.data == b"answer"
