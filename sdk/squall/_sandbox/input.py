"""What is typed into a sandbox's own command, and into commands run in one."""

from typing import TYPE_CHECKING, Final

from squall_contracts.sandboxes import WriteInput

from squall import _client
from squall.exception import NotFoundError
from squall.io_streams import EXEC_BUFFER_BYTES, SANDBOX_BUFFER_BYTES, StreamWriter

if TYPE_CHECKING:
    from squall._sandbox.running import Command
    from squall.sandbox import Sandbox

PIECE_BYTES: Final = 256 * 1024


class SandboxInput(StreamWriter):
    """Of a sandbox's own command."""

    def __init__(self, sandbox: "Sandbox") -> None:
        super().__init__(SANDBOX_BUFFER_BYTES)
        self._sandbox = sandbox
        self._at = 0

    async def _send(self, data: bytes, eof: bool) -> None:
        """ValueError: the sandbox has ended."""
        await self._sandbox._running()
        client = await _client.connected()
        end = self._at + len(data)
        left = memoryview(data)
        while True:
            piece = bytes(left[:PIECE_BYTES])
            last = len(piece) == len(left)
            write = WriteInput(
                sandbox_id=self._sandbox.object_id, at=self._at, data=piece, eof=eof and last
            )
            try:
                taken = await client.control(write)
            except NotFoundError as error:
                raise ValueError(f"nobody reads the input any more: {error}") from error
            left = left[taken.upto - self._at :]
            self._at = taken.upto
            if self._at >= end:
                return


class CommandInput(StreamWriter):
    """Of a command run in a sandbox."""

    def __init__(self, command: "Command") -> None:
        super().__init__(EXEC_BUFFER_BYTES)
        self._command = command
        self._told_eof = False

    async def _send(self, data: bytes, eof: bool) -> None:
        """BrokenPipeError: the command has ended."""
        await self._command.type(data)
        if eof and not self._told_eof:
            self._told_eof = True
            self._command.type_eof()
