"""Load on a web server from a process of its own: python -m tests.bench.webload KIND URL …

Prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

from tests.bench.figures import quantile


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, until_s: float) -> None:
        self.took: list[float] = []
        self.over = asyncio.get_running_loop().create_future()
        self._request = request
        self._until_s = until_s
        self._had = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._had += data
        head, found, body = self._had.partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.over.set_exception(RuntimeError(head[:200].decode()))
            self._transport.close()
            return
        low = head.lower()
        if b"chunked" in low:
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif len(body) < int(low.partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        self._had = b""
        now = time.perf_counter()
        self.took.append(now - self._began)
        if now < self._until_s:
            self._ask()
        else:
            self.over.set_result(None)
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.over.done():
            self.over.set_exception(error or RuntimeError("the server closed the connection"))


async def requests(url: str, connections: int, seconds: float) -> dict[str, float]:
    place = urlsplit(url)
    request = f"GET {place.path}/ HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
    return await again_and_again(url, request, connections, seconds)


async def posts(url: str, body: str, connections: int, seconds: float) -> dict[str, float]:
    """The same JSON body again and again."""
    place = urlsplit(url)
    path = f"{place.path}?{place.query}"
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
    return await again_and_again(url, request, connections, seconds)


async def again_and_again(
    url: str, request: bytes, connections: int, seconds: float
) -> dict[str, float]:
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [
        await loop.create_connection(
            lambda: Client(request, began + seconds), place.hostname or "", place.port or 80
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.over for _, client in made))
    took = [each for _, client in made for each in client.took]
    return {
        "rate": len(took) / (time.perf_counter() - began),
        "p50_ms": quantile(took, 0.5) * 1e3,
        "p99_ms": quantile(took, 0.99) * 1e3,
    }


async def transfer(url: str, size: int) -> dict[str, float]:
    """Bytes per second down and up."""
    import httpx

    async def body() -> "asyncio.AsyncIterator[bytes]":  # type: ignore[name-defined]
        chunk = bytes(1024 * 1024)
        for _ in range(size // len(chunk)):
            yield chunk

    async with httpx.AsyncClient(timeout=120) as client:
        began = time.perf_counter()
        got = 0
        async with client.stream("GET", f"{url}/down?{size}") as response:
            async for chunk in response.aiter_raw():
                got += len(chunk)
        down = got / (time.perf_counter() - began)
        assert got == size, got
        began = time.perf_counter()
        answer = await client.post(f"{url}/up", content=body())
        up = size / (time.perf_counter() - began)
        assert int(answer.text) == size, answer.text
    return {"down": down, "up": up}


async def events(url: str, count: int) -> dict[str, float]:
    """How long after it was written each event arrives."""
    import httpx

    late: list[float] = []
    async with (
        httpx.AsyncClient(timeout=60) as client,
        client.stream("GET", f"{url}/events?{count}") as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                late.append(time.time() - float(line.removeprefix("data: ")))
    assert len(late) == count
    return {"p50_ms": quantile(late, 0.5) * 1e3, "p99_ms": quantile(late, 0.99) * 1e3}


async def sockets(url: str, count: int, messages: int) -> dict[str, float]:
    """Open WebSockets, echo on all of them, and count what came back."""
    import websockets

    place = url.replace("http://", "ws://") + "/echo"
    opened = []
    for at in range(0, count, 50):
        some = range(at, min(count, at + 50))
        opened += await asyncio.gather(*(websockets.connect(place) for _ in some))

    async def talk(socket: websockets.ClientConnection, number: int) -> int:
        for turn in range(messages):
            await socket.send(f"{number}/{turn}")
        echoed = [await socket.recv() for _ in range(messages)]
        return sum(text == f"{number}/{turn}" for turn, text in enumerate(echoed))

    began = time.perf_counter()
    got = sum(await asyncio.gather(*(talk(each, n) for n, each in enumerate(opened))))
    took = time.perf_counter() - began
    await asyncio.gather(*(each.close() for each in opened))
    return {"rate": got / took, "lost": count * messages - got}


async def main(kind: str, url: str, *numbers: str) -> None:
    figures = await {
        "requests": lambda: requests(url, int(numbers[0]), float(numbers[1])),
        "posts": lambda: posts(url, numbers[0], int(numbers[1]), float(numbers[2])),
        "transfer": lambda: transfer(url, int(numbers[0])),
        "events": lambda: events(url, int(numbers[0])),
        "sockets": lambda: sockets(url, int(numbers[0]), int(numbers[1])),
    }[kind]()
    print(json.dumps(figures))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
