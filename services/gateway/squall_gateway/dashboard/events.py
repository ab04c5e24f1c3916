"""Streams of events: that a page should be looked at again, and what containers print."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from aiohttp import web
from squall_bus.service import Context
from squall_bus.tasks import within

from squall_gateway.dashboard import guard, logs
from squall_gateway.dashboard.attention import Attention
from squall_gateway.dashboard.views.common import Place
from squall_gateway.dashboard.wire import event
from squall_gateway.web.requests import Asked

STREAMS_AT_ONCE: Final = 100
LASTS_S: Final = 300.0
"""Then the browser comes again: a visit, by which its session is looked at anew."""
BEAT_S: Final = 15.0
PACE_S: Final = 1.0
"""A page is told at most so often that something changed."""
PATIENCE_S: Final = 20.0
"""A browser that reads nothing for so long is let go."""


class Events:
    """The streams that are open."""

    def __init__(self, context: Context, attention: Attention) -> None:
        self._context = context
        self._attention = attention
        self._open = 0
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self._leaving.set()

    async def stream(self, asked: Asked, place: Place, name: str) -> web.StreamResponse:
        """`live` or `logs`. BusError before it begins."""
        if name not in {"live", "logs"}:
            return web.Response(status=404, text="nothing is here\n", headers=guard.HEADERS)
        if self._open >= STREAMS_AT_ONCE or self._leaving.is_set():
            headers = {**guard.HEADERS, "Retry-After": "10"}
            return web.Response(status=503, text="too many are watching\n", headers=headers)
        said = self._live() if name == "live" else self._logs(asked, place)
        self._open += 1
        try:
            return await self._send(asked, said)
        finally:
            self._open -= 1

    async def _send(self, asked: Asked, said: AsyncGenerator[bytes, None]) -> web.StreamResponse:
        answer = web.StreamResponse(
            headers={
                **guard.HEADERS,
                "Content-Type": "text/event-stream",
                "X-Accel-Buffering": "no",
            }
        )
        answer.enable_chunked_encoding()
        await answer.prepare(asked.request)
        until_s = time.monotonic() + LASTS_S
        async with aclosing(said):
            await answer.write(b"retry: 2000\n\n")
            waiting: asyncio.Task[bytes] | None = None
            leaving = asyncio.create_task(self._leaving.wait())
            try:
                while time.monotonic() < until_s and not leaving.done():
                    waiting = waiting or asyncio.create_task(_next(said))
                    await asyncio.wait(
                        {waiting, leaving}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED
                    )
                    data = b": still here\n\n"
                    if waiting.done():
                        data, waiting = waiting.result(), None
                    await within(PATIENCE_S, answer.write(data))
            except (TimeoutError, StopAsyncIteration, ConnectionError):
                pass  # the browser comes again if it is still there
            finally:
                tasks: list[asyncio.Task[Any]] = [leaving, *([waiting] if waiting else [])]
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        return answer

    async def _live(self) -> AsyncGenerator[bytes, None]:
        """One event whenever something changed, not too often."""
        bell = self._attention.bell
        count = bell.count
        while True:
            count = await bell.after(count)
            yield event("changed", count)
            await asyncio.sleep(PACE_S)

    async def _logs(self, asked: Asked, place: Place) -> AsyncGenerator[bytes, None]:
        """Lines as they are printed, behind the last the browser has."""
        bus = await self._context.workspaces.get(place.account)
        after = asked.request.headers.get("Last-Event-ID") or place.asked("after")
        number = int(after) if after.isdecimal() and after.isascii() else 0
        lines = logs.following(bus, logs.wanted(place), number)
        async with aclosing(lines):
            async for sequence, batch in lines:
                yield event("lines", [line._asdict() for line in batch], sequence)


async def _next(said: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(said)
