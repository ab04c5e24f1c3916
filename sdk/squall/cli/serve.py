"""`squall serve FILE`: keep an app running while its files are edited.

Each version of the code runs in a process of its own, which imports it afresh and runs its app. When
a file the app was made of changes, the next version is started; once it runs, the one before ends. A
version that can't start leaves the one before in place.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from squall.cli import refs, servers
from squall.cli.modal import Modal
from squall.cli.report import say
from squall.cli.tables import Env
from squall.config import find_server
from squall.exception import ConnectionError, InvalidError

STOP_WITHIN_S: Final = 30.0
BEGIN: Final = b"begin\n"
"""What a version waits for on its stdin before it reads the app's files."""
SPARE_AFTER_S: Final = 1.0
QUIET_MS: Final = 50
"""Without a change before what changed is looked at: editors write a file in several steps."""


class Told(msgspec.Struct):
    """What a version says, in one line of JSON, once its app runs."""

    app_id: str
    files: list[str]
    """Absolute paths of all it was made of."""


def serve(
    reference: Annotated[
        str, typer.Argument(metavar="FILE[::app]", help="A .py file; with -m, a module.")
    ],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name of the app while it is served.")
    ] = None,
    env: Env = None,
    modal: Modal = False,
    module: Annotated[
        bool, typer.Option("-m", help="Take the reference as a module's name.")
    ] = False,
    timestamps: Annotated[bool, typer.Option(help="Put the time before container output.")] = False,
) -> None:
    """Run an app until Ctrl-C; when a file of it changes, run the new code instead."""
    wanted = refs.parse(reference, as_module=module)
    if env is not None:
        os.environ["SQUALL_ENVIRONMENT"] = env
    command = [sys.executable, "-m", "squall.cli.version", reference]
    command += ["--module"] * module + ["--timestamps"] * timestamps
    command += ["--name", name] if name is not None else []
    with servers.for_this_run(detached=False, asks_help=False) as server:
        server.ready(quiet=False)
        found = find_server()
        assert found is not None, "it is ready"
        environment = {
            **os.environ,
            "SQUALL_SERVER_URL": found.url,
            "SQUALL_CREDENTIALS": found.credentials,
        }
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_Serving(command, environment, wanted.place).run())


class _Serving:
    """One version after another."""

    def __init__(self, command: list[str], environment: dict[str, str], place: str) -> None:
        self._command = command
        self._environment = environment
        self._place = place
        self._read_at_ns = 0
        """What changed later has not been read by any version."""
        self._spare: _Version | None = None
        """A process that has its imports and its connection behind it, and waits to be the next."""
        self._sparing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled. InvalidError: not even the first version runs."""
        current = await self._start()
        if current is None:
            raise InvalidError(f"{self._place} can't be served: see above")
        try:
            while True:
                changed = await self._change(current)
                if changed is None:
                    raise ConnectionError(f"{self._place} is served no longer: see above")
                say(f"{changed} changed: starting the next version")
                following = await self._start()
                if following is None:
                    say("the version before goes on; it is tried again at the next change")
                    continue
                await current.end()
                current = following
        finally:
            if self._sparing is not None:
                self._sparing.cancel()
                await asyncio.wait([self._sparing])
            if self._spare is not None:
                await self._spare.end()
            await current.end()

    async def _start(self) -> "_Version | None":
        """The next version once its app runs; None if it ended before."""
        self._read_at_ns = time.time_ns()
        version, self._spare = self._spare, None
        if version is None or version.process.returncode is not None:
            version = await self._spawn()
        try:
            version.begin()
            line = await _line(version.tells)
        except BaseException:
            await version.end()
            raise
        if not line:
            await version.process.wait()
            return None
        version.files = frozenset(map(Path, msgspec.json.decode(line, type=Told).files))
        if self._sparing is None or self._sparing.done():
            self._sparing = asyncio.create_task(self._keep_spare())
        return version

    async def _spawn(self) -> "_Version":
        """A process that waits to be told to begin."""
        read_end, write_end = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            env={**self._environment, "SQUALL_TELL_FD": str(write_end)},
            pass_fds=(write_end,),
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
        os.close(write_end)
        return _Version(process, read_end)

    async def _keep_spare(self) -> None:
        """Make the next process ahead, once the one just started has had its time."""
        await asyncio.sleep(SPARE_AFTER_S)
        self._spare = await self._spawn()

    async def _change(self, version: "_Version") -> str | None:
        """The name of a file of it that has changed; None if it ended by itself."""
        ended = asyncio.create_task(version.process.wait())
        changed = asyncio.create_task(_change_of(version.files, self._read_at_ns))
        try:
            await asyncio.wait({ended, changed}, return_when=asyncio.FIRST_COMPLETED)
            return None if ended.done() else changed.result()
        finally:
            for task in (ended, changed):
                task.cancel()
            await asyncio.wait({ended, changed})


class _Version:
    """A process that runs the app as its files were when it began."""

    def __init__(self, process: asyncio.subprocess.Process, tells: int) -> None:
        """`tells`: the end of a pipe on which it says what it was made of."""
        self.process = process
        self.tells = tells
        self.files: frozenset[Path] = frozenset()

    def begin(self) -> None:
        """Have it read the files and run the app."""
        assert self.process.stdin is not None
        self.process.stdin.write(BEGIN)

    async def end(self) -> None:
        """Close its stdin, upon which it stops its app; kill it when it takes too long."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


async def _line(descriptor: int) -> bytes:
    """The line written to a pipe; empty if it was closed first."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    with open(descriptor, "rb", buffering=0) as pipe:  # noqa: ASYNC230 - a descriptor
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            return await reader.readline()
        finally:
            transport.close()


async def _change_of(files: frozenset[Path], since_ns: int) -> str:
    """The name of one of `files` that has changed since then, or of a Python file beside them."""
    from watchfiles import awatch

    folders = {path.parent for path in files if path.parent.exists()}
    watch = awatch(*folders, step=QUIET_MS // 2, debounce=QUIET_MS, recursive=False)
    async with contextlib.aclosing(watch) as changes:
        following = asyncio.ensure_future(anext(changes))
        try:
            await asyncio.sleep(0)  # its first step: from here on no change is missed
            names = {path for path in files if _changed_ns(path) > since_ns}
            while True:
                for path in sorted(names):
                    if path in files or path.suffix == ".py":
                        return path.name
                names = {Path(name) for _, name in await following}
                following = asyncio.ensure_future(anext(changes))
        finally:
            following.cancel()
            await asyncio.wait({following})


def _changed_ns(path: Path) -> int:
    """When a file was changed last; 0 for one that is not there just now."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
