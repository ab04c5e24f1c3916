"""What a runtime does: the one seam between the runner and Docker or plain processes."""

# ruff: noqa: N818 - they are named for what happened; `Error` ends the root's name alone

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Literal, Protocol

import msgspec
from squall_contracts.apps import ExecFinished
from squall_contracts.terminals import Screen
from squall_guard.rules import Outbound
from squall_terminals.program import Program

from squall_runner.container_files.root import Root
from squall_runner.core import Found, Limits, RuntimeName

QUIET_S = 1.0
"""How long after a start spare containers are made anew: the one just started needs the cores."""
SOON_S = 0.1
"""The same after a start that needed hardly any, from a container that was waiting."""

Source = Literal["stdout", "stderr"]


class RunnerError(Exception):
    """Root of the runner's own errors."""


class StartRefused(RunnerError):
    """Raised when a container can't be started and trying again would not help: one line why."""


class RuntimeUnavailable(RunnerError):
    """Raised when the runtime itself doesn't answer: worth trying again."""


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where things are, as code inside the container sees them."""

    assignment: str
    files_dir: str
    root: str
    flight_record: str
    template: str
    failure: str
    """Where a guest says why it can't be held as a snapshot."""
    authorities: str
    """The certificates by which it knows NATS, where that shows one."""


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of the machine that a container sees at a path of its own."""

    source: Path
    target: str
    read_only: bool = False


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """All a runtime needs to start one container."""

    slot: str
    """Names the container to its runtime; its directories are the slot's."""
    labels: dict[str, str]
    workspace: str
    reference: str
    """A Docker image, or the directory of a virtual environment."""
    directory: Path
    """The slot's directory: `in` (read-only inside), `out`, and what the runtime keeps there."""
    site: Path
    env: dict[str, str]
    workdir: str
    """Empty: /root."""
    limits: Limits
    block_network: bool = False
    peers: str = ""
    """The function with whose other containers it shares a network; empty: with nobody's."""
    only: Outbound | None = None
    """What it may connect to; None: everything but the machine and its neighbours."""
    gpus: tuple[int, ...] = ()
    binds: tuple[Bind, ...] = ()
    ahead: bool = False
    """Nobody waits for it."""


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A container that runs."""

    handle: str
    forked: bool = False
    why_not: str = ""
    """Why it was not forked where the runtime forks; empty: it doesn't, or it was."""


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """How a container ended. `code` None: nobody saw it."""

    code: int | None
    out_of_memory: bool = False


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Some output. `position` resumes after it."""

    source: Source
    at_unix_s: float
    data: bytes
    position: str


COMPILE = ("-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash")
"""Arguments of Python that compile a directory that will never change, its path following."""

Directory = Callable[[], Awaitable[int]]
"""A directory of a container, looked for anew: a descriptor, not open, for the caller to close. OSError."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Sink = Callable[[Piece], Awaitable[None]]


class Runtime(Protocol):
    """Starts, watches and ends containers. Handles outlive the runner's process."""

    name: RuntimeName

    async def open(self) -> None:
        """Make ready what containers share. RuntimeUnavailable names what is missing."""

    async def close(self) -> None: ...

    async def has_image(self, reference: str) -> bool:
        """Whether containers can be started from it here and now."""

    async def load_image(self, reference: str, saved: AsyncIterator[bytes]) -> tuple[str, ...]:
        """Take in what another engine saved; returns the digests of its layers. StartRefused,
        RuntimeUnavailable."""

    async def remove_image(self, reference: str) -> bool:
        """Forget an image, if it is there; False: a container uses it."""

    def gateway(self, *, block_network: bool) -> str:
        """The host's address as containers reach it."""

    def layout(self, directory: Path) -> Layout: ...

    async def sees(self, path: Path) -> bool:
        """Whether a path that is there for this process is there for containers to be bound to."""

    async def compile(self, reference: str, directory: Path) -> None:
        """Compile the sources in `directory` with an image's Python. A failure is logged: guests
        then start slower."""

    async def create(self, launch: Launch) -> str:
        """Make a container ready to start; returns its handle. Raises as `start`."""

    async def start(self, handle: str, launch: Launch) -> Started:
        """Start it; it has the returned handle from now on. StartRefused, RuntimeUnavailable."""

    async def limit(self, handle: str, limits: Limits) -> None:
        """Give a running container other limits. RunnerError: it can't have them."""

    async def memory_bytes(self, handle: str) -> int:
        """What a running container's processes hold. RunnerError."""

    async def usage(self, handle: str) -> tuple[float, int]:
        """Seconds of processor time its processes have had, and the bytes they hold. RunnerError."""

    async def written_bytes(self, handle: str, directory: Path) -> int:
        """What a container has on disk of its own, outside its volumes. StartRefused: it is gone, or
        has no disk of its own; RuntimeUnavailable."""

    async def rename(self, handle: str, name: str) -> None:
        """Give a running container the name people see. RunnerError."""

    async def terminate(self, handle: str) -> None:
        """Ask it to end (SIGTERM). Harmless once it has ended. RunnerError: try again."""

    async def end_input(self, handle: str) -> None:
        """Tell its first process to look whether its input is over. Harmless once it has ended.
        RunnerError: try again."""

    async def connect(self, handle: str, port: int) -> Connection:
        """To a port in it, at its loopback address. OSError, RunnerError."""

    async def takes_connections(self, handle: str, port: int) -> bool:
        """Whether something in it listens at a port. RunnerError."""

    async def kill(self, handle: str) -> None:
        """End it with all its processes. Harmless once it has ended. RunnerError: try again."""

    async def wait(self, handle: str, directory: Path) -> Exit:
        """Return once it has ended; may be called again."""

    async def output(self, handle: str, directory: Path, position: str, sink: Sink) -> None:
        """Give `sink` its output after `position` (empty: from its start), until it has ended and
        all was given."""

    async def exec(
        self, handle: str, launch_env: dict[str, str], argv: Sequence[str], timeout_s: float
    ) -> ExecFinished:
        """Run a command inside it. TimeoutError, StartRefused."""

    async def program(
        self,
        handle: str,
        launch_env: dict[str, str],
        argv: Sequence[str],
        screen: Screen | None,
        workdir: str = "",
    ) -> Program:
        """Run a command inside it, to be talked to; None: without a terminal. `workdir` empty: the
        container's own. StartRefused, RuntimeUnavailable."""

    async def root(self, handle: str, directory: Path) -> Root:
        """The root directory of a running container, for the caller to close. StartRefused,
        RuntimeUnavailable."""

    async def commit(self, handle: str, reference: str) -> None:
        """Keep a running container's file system as the image `reference`. StartRefused: it has
        none of its own; RuntimeUnavailable."""

    async def keep(self, reference: str, archive: IO[bytes]) -> None:
        """Keep what an archive holds as the image `reference`, from which nothing can be started.
        StartRefused: there are no such images; RuntimeUnavailable."""

    async def mount(self, handle: str, at: Directory, reference: str, inside: str) -> None:
        """Show the directory `inside` of an image in place of a directory of a running container,
        and keep what is changed there until `unmount`, or another is mounted there. StartRefused:
        nothing can be mounted there; RuntimeUnavailable, OSError of the directory."""

    async def unmount(self, handle: str, at: Directory) -> None:
        """Show again what was there before. StartRefused: nothing is mounted there; RuntimeUnavailable,
        OSError of the directory."""

    async def forget_image(self, reference: str) -> None:
        """Remove what `commit` or `keep` kept; gone already is fine. StartRefused, RuntimeUnavailable."""

    async def remove(self, handle: str) -> None:
        """Forget an ended container (killing it first if need be). What can't be removed is logged
        and left to the next start of the runner."""

    async def found(self) -> list[Found]:
        """The containers of this runner that still exist."""
