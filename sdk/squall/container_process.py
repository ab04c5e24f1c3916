"""A command that runs in a sandbox."""

from typing import TYPE_CHECKING, Generic, TypeVar

from squall import _sync
from squall._sandbox.input import CommandInput
from squall.exception import InvalidError
from squall.io_streams import StreamReader, StreamWriter
from squall.stream_type import StreamType

if TYPE_CHECKING:
    from squall._sandbox.running import Command

__all__ = ["ContainerProcess"]

T = TypeVar("T", str, bytes)


class ContainerProcess(Generic[T]):
    """What `Sandbox.exec` returns: as `subprocess.Popen` with pipes."""

    def __init__(
        self,
        command: "Command",
        *,
        stdout: StreamType = StreamType.PIPE,
        stderr: StreamType = StreamType.PIPE,
        text: bool = True,
        by_line: bool = False,
    ) -> None:
        self._command = command
        self._returncode: int | None = None
        self._stdout: StreamReader[T] = StreamReader(
            command.output.get, descriptor=1, text=text, by_line=by_line, kind=stdout
        )
        self._stderr: StreamReader[T] = StreamReader(
            command.errors.get, descriptor=2, text=text, by_line=by_line, kind=stderr
        )
        self._stdin = CommandInput(command)

    def __repr__(self) -> str:
        return f"ContainerProcess(process_id={self._command.session!r})"

    @property
    def stdout(self) -> StreamReader[T]:
        """What it prints."""
        return self._stdout

    @property
    def stderr(self) -> StreamReader[T]:
        """Its errors; empty where it has a terminal."""
        return self._stderr

    @property
    def stdin(self) -> StreamWriter:
        """What it reads."""
        return self._stdin

    @property
    def returncode(self) -> int:
        """Its exit code: 128 and the signal's number if one ended it, -1 if it took too long.
        InvalidError before `wait` or `poll` has seen its end."""
        if self._returncode is None:
            raise InvalidError("returncode: call wait() first, or poll() while it runs")
        return self._returncode

    @_sync.synced
    async def wait(self) -> int:
        """Wait for its end; its exit code. More than 32 MiB of output that nobody reads keep it from
        ending."""
        if self._returncode is None:
            self._returncode = (await self._command.wait()).code
        return self._returncode

    @_sync.synced
    async def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._returncode is None and self._command.ended is not None:
            self._returncode = (await self._command.wait()).code
        return self._returncode

    @_sync.synced
    async def attach(self) -> None:
        """Be at its terminal: what is typed here goes there, and what it prints is shown here, until
        it ends. For commands with `pty=True`."""
        from squall._sandbox.attaching import attach

        await attach(self._command)
