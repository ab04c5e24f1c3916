"""The client's side of an interactive run: containers of the app may ask for the person."""

import asyncio
import sys
from typing import TYPE_CHECKING, Final

from squall_contracts import terminal_subjects
from squall_contracts.terminals import TerminalCall

from squall import _sync
from squall._console import showing
from squall._terminal.keyboard import Keyboard

if TYPE_CHECKING:
    from squall_bus.channels.line import Line
    from squall_bus.channels.stream import Stream
    from squall_bus.subscriptions import Delivery, Subscription

    from squall._client import Client

CLOSE_S: Final = 5.0
"""How long the end of an interactive run waits for what is still to be shown."""


class Attendant:
    """Answers one container at a time. `open` and `close` it on the SDK loop."""

    def __init__(self, client: "Client", app_id: str, keyboard: Keyboard) -> None:
        self._client = client
        self._app_id = app_id
        self._keyboard = keyboard
        self._talking: asyncio.Task[None] | None = None
        self._answering: Subscription | None = None

    async def open(self) -> None:
        self._answering = await self._client.bus.subscribe(
            terminal_subjects.terminal_call(self._app_id), self._answer
        )

    async def close(self) -> None:
        if self._talking is not None and not self._talking.done():
            await asyncio.wait([self._talking], timeout=CLOSE_S)
            self._talking.cancel()
            await asyncio.wait([self._talking])
        if self._answering is not None and not self._client.is_closed:
            await self._answering.close()

    async def _answer(self, delivery: "Delivery") -> None:
        from squall_bus.channels.line import Line

        call = delivery.decode(TerminalCall)
        line = Line(
            self._client.bus,
            say=terminal_subjects.terminal_to_container(call.container_id, call.session),
            hear=terminal_subjects.terminal_to_client(call.container_id, call.session),
        )
        await line.open()
        stream = line.stream(call.session)
        if self._talking is not None and not self._talking.done():
            stream.end(1, "another container has the terminal: try again later")
            await line.close()
            return
        stream.take(self._keyboard.screen, self._keyboard.term)
        self._talking = _sync.background(self._talk(line, stream, call.purpose))

    async def _talk(self, line: "Line", stream: "Stream", purpose: str) -> None:
        output = showing.current()
        if output is not None:
            output.suspend(purpose)
        try:
            ended = await self._keyboard.talk(stream)
            if ended.reason:
                sys.stderr.write(f"squall: the terminal is closed: {ended.reason}\n")
        finally:
            stream.end()
            await line.close()
            if output is not None:
                output.resume()
