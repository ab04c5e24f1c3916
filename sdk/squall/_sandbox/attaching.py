"""At the terminal of a command in a sandbox: keys there, its screen here."""

from typing import TYPE_CHECKING, cast

from squall_contracts.streams import Ended, Piece

from squall._sandbox.running import Command
from squall._terminal.keyboard import Keyboard

if TYPE_CHECKING:
    from squall_bus.channels.stream import Stream


class _AsStream:
    """A command as the stream a keyboard talks to."""

    def __init__(self, command: Command) -> None:
        self._command = command

    async def read(self) -> Piece | Ended:
        data = await self._command.output.get()
        if data:
            return Piece(self._command.session, 0, data)
        return await self._command.wait()

    async def write(self, data: bytes) -> None:
        await self._command.type(data)

    def write_eof(self) -> None:
        self._command.type_eof()

    def resize(self, rows: int, columns: int) -> None:
        self._command.resize(rows, columns)


async def attach(command: Command) -> None:
    """Until it ends. On the SDK loop."""
    keyboard = Keyboard()
    try:
        await keyboard.talk(cast("Stream", _AsStream(command)))
    finally:
        keyboard.close()
