"""The streams of a sandbox and of the commands in it: what they write is read, what they read is written."""

import codecs
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Generic, TypeVar, cast

from squall import _sync
from squall._shared.iterating import Items
from squall.exception import InvalidError
from squall.stream_type import StreamType

__all__ = ["StreamReader", "StreamWriter"]

T = TypeVar("T", str, bytes)

Get = Callable[[], Coroutine[Any, Any, bytes]]
"""What came next; empty at the end. On the SDK loop."""
SANDBOX_BUFFER_BYTES: Final = 2 * 1024 * 1024
EXEC_BUFFER_BYTES: Final = 16 * 1024 * 1024


class StreamReader(Generic[T]):
    """Output: `read()` gives all of it once it has ended, iterating gives it as it comes.

    It is read once: what was iterated is not in `read()`, and a second `read()` is empty.
    """

    def __init__(
        self,
        get: Get,
        *,
        descriptor: int,
        text: bool = True,
        by_line: bool = False,
        kind: StreamType = StreamType.PIPE,
    ) -> None:
        self._get = get
        self._descriptor = descriptor
        self._text = text
        self._by_line = by_line
        self._kind = kind
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._partial = b""
        self._over = False

    @property
    def file_descriptor(self) -> int:
        """1 for standard output, 2 for errors."""
        return self._descriptor

    @_sync.synced
    async def read(self) -> T:
        """All that is left of it, once it has ended."""
        parts = [self._partial]
        self._partial = b""
        self._check()
        while data := await self._next():
            parts.append(data)
        return self._shown(b"".join(parts), last=True)

    def __iter__(self) -> Iterator[T]:
        return Items("StreamReader", self._items)()

    def __aiter__(self) -> AsyncIterator[T]:
        return Items("StreamReader", self._items).aio()

    @_sync.synced
    async def aclose(self) -> None:
        """Nothing to close: it is read from what has arrived."""

    async def _items(self) -> AsyncGenerator[T, None]:
        self._check()
        while data := await self._next():
            if not self._by_line:
                if shown := self._shown(data):
                    yield shown
                continue
            *whole, self._partial = (self._partial + data).split(b"\n")
            for line in whole:
                yield self._shown(line + b"\n")
        rest, self._partial = self._partial, b""
        if shown := self._shown(rest, last=True):
            yield shown

    async def _next(self) -> bytes:
        if self._over:
            return b""
        data = await self._get()
        self._over = not data
        return data

    def _shown(self, data: bytes, *, last: bool = False) -> T:
        return cast(T, self._decoder.decode(data, last) if self._text else data)

    def _check(self) -> None:
        if self._kind is StreamType.DEVNULL:
            raise ValueError("the stream was dropped: exec(…) had StreamType.DEVNULL")
        if self._kind is StreamType.STDOUT:
            raise InvalidError("the stream is printed as it comes: exec(…) had StreamType.STDOUT")


class StreamWriter:
    """Input: `write` puts it down, `drain` sends it."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._closed = False

    def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Put `data` down. BufferError when much is to be drained first; ValueError after
        `write_eof`."""
        if self._closed:
            raise ValueError("the input is over: write_eof() was called")
        if isinstance(data, str):
            data = data.encode()
        elif not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be str or bytes-like, not {type(data).__name__}")
        if len(self._buffer) + len(data) > self._limit_bytes:
            raise BufferError(
                f"more than {self._limit_bytes} bytes are put down: call drain() first"
            )
        self._buffer += data

    def write_eof(self) -> None:
        """Nothing follows what is put down; `drain` says so to who reads."""
        self._closed = True

    @_sync.synced
    async def drain(self) -> None:
        """Send what is put down; waits while who reads it is slow."""
        data = bytes(self._buffer)
        await self._send(data, self._closed)
        del self._buffer[: len(data)]

    @abstractmethod
    async def _send(self, data: bytes, eof: bool) -> None: ...
