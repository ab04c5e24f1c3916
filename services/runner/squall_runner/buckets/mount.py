"""One mounted bucket: an rclone that works on when the runner dies, and that the next one finds."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog
from squall_contracts.buckets import BucketMount
from squall_contracts.message import Message, decode, encode
from squall_guard.owner import start_ticks

from squall_runner.buckets import core
from squall_runner.runtime import StartRefused
from squall_runner.together import together

log = structlog.get_logger()

READY_S: Final = 20.0
LOOK_S: Final = 10.0
"""A listing that still goes on after that is of a large bucket, which so is there."""
END_S: Final = 3.0
PASSED_ON: Final = ("PATH", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY")
"""Of the runner's own variables; not AWS_…, which are not the container's."""


class Record(Message, frozen=True, kw_only=True):
    """What another runner needs to know of it."""

    path: str
    """Inside the container."""
    pid: int
    ticks: str
    read_only: bool


class Mount:
    """Below `directory`: `mnt` is the bucket, `log` what rclone says, `record` who it is."""

    def __init__(self, directory: Path, record: Record) -> None:
        self.directory = directory
        self.record = record

    @property
    def place(self) -> Path:
        return self.directory / "mnt"

    @classmethod
    async def make(
        cls, mount: BucketMount, variables: Mapping[str, str], directory: Path, ca_bundle: str
    ) -> "Mount":
        """Mount it. StartRefused says what rclone said."""
        try:
            configured = core.configuration(mount, variables)
        except core.UnfitError as error:
            raise StartRefused(f"bucket {mount.bucket}: {error}") from error
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        env["HOME"] = str(directory)
        if ca_bundle:
            env["SSL_CERT_FILE"] = ca_bundle
        (directory / "mnt").mkdir(parents=True)
        made: Mount | None = None
        try:
            with _in_memory(configured) as descriptor:

                async def start() -> None:
                    nonlocal made
                    made = await _start(mount, directory, descriptor, env)

                await together(start, partial(_look, mount, descriptor, env))
        except BaseException:
            with anyio.CancelScope(shield=True):
                if made is not None:
                    await made.end()
                else:
                    await anyio.to_thread.run_sync(take_down, directory)
            raise
        assert made is not None
        return made

    @classmethod
    def find(cls, directory: Path) -> "Mount | None":
        """One an earlier runner made; None: it made nothing of it."""
        try:
            record = decode((directory / "record").read_bytes(), Record)
        except (OSError, ValueError):
            return None
        return cls(directory, record)

    async def ended(self) -> str:
        """Return once rclone is gone; what it said."""
        await self._gone()
        return core.reason(_read(self.directory / "log"))

    async def end(self) -> None:
        """Unmount it. What was closed is in the bucket."""
        self._signal(signal.SIGTERM)
        with anyio.move_on_after(END_S):
            await self._gone()
        self._signal(signal.SIGKILL)
        await self._gone()
        await anyio.to_thread.run_sync(take_down, self.directory)

    def _alive(self) -> bool:
        pid = self.record.pid
        if start_ticks(pid) != self.record.ticks:
            return False
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == 0
        except ChildProcessError:  # an earlier runner's
            return True

    def _signal(self, number: int) -> None:
        if self._alive():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self.record.pid, number)

    async def _gone(self) -> None:
        try:
            descriptor = os.pidfd_open(self.record.pid)
        except ProcessLookupError:
            return
        try:
            if self._alive():
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        self._alive()  # a child that has ended is waited for


async def _start(
    mount: BucketMount, directory: Path, descriptor: int, env: Mapping[str, str]
) -> Mount:
    with _notified() as (ready, address), (directory / "log").open("wb") as said:
        argv = core.mounting(
            mount, str(directory / "mnt"), _path(descriptor), shared=os.geteuid() == 0
        )
        child = subprocess.Popen(  # noqa: ASYNC220 - a fork of milliseconds; asyncio kills it with us
            argv,
            env={**env, "NOTIFY_SOCKET": address},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(descriptor,),
            start_new_session=True,
        )
        child.returncode = 0  # it may outlive us: what waits for it is its Mount
        record = Record(
            path=mount.path,
            pid=child.pid,
            ticks=start_ticks(child.pid),
            read_only=mount.read_only,
        )
        (directory / "record").write_bytes(encode(record))
        made = Mount(directory, record)
        try:
            await _until_ready(made, ready)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                why = core.reason(_read(directory / "log"))
                await made.end()
            if isinstance(error, TimeoutError):
                raise StartRefused(
                    f"bucket {mount.bucket} could not be mounted at {mount.path}: "
                    f"{why or f'rclone was not ready within {READY_S:g} s'}"
                ) from error
            raise
    return made


async def _until_ready(made: Mount, ready: socket.socket) -> None:
    """TimeoutError when rclone ends, or takes too long."""
    with anyio.fail_after(READY_S):
        async with anyio.create_task_group() as group:

            async def fail_when_it_ends() -> None:
                await made._gone()
                raise TimeoutError

            group.start_soon(fail_when_it_ends)
            await anyio.wait_readable(ready)
            group.cancel_scope.cancel()


async def _look(mount: BucketMount, descriptor: int, env: Mapping[str, str]) -> None:
    """StartRefused where the bucket can't be read: mounted all the same, it would look empty."""
    process = await asyncio.create_subprocess_exec(
        *core.looking(mount, _path(descriptor)),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(descriptor,),
    )
    try:
        _, said = await asyncio.wait_for(process.communicate(), LOOK_S)
    except TimeoutError:
        return
    finally:
        if process.returncode is None:
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.wait()
    if process.returncode:
        why = core.reason(said.decode(errors="replace"))
        raise StartRefused(f"bucket {mount.bucket} can't be read: {why}")


def take_down(directory: Path) -> None:
    """Unmount what is mounted in `directory`, if anything, and remove it. Nothing below a mount is
    ever removed: it would be the bucket's. Blocks."""
    fusermount = shutil.which("fusermount3") or shutil.which("fusermount")
    if fusermount is not None:
        subprocess.run(
            [fusermount, "-u", "-z", str(directory / "mnt")], capture_output=True, check=False
        )
    try:
        (directory / "mnt").rmdir()
    except FileNotFoundError:
        pass
    except OSError as error:  # still mounted
        log.warning("bucket.left_mounted", directory=str(directory), error=str(error))
        return
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A file on no disk that a child reads by its descriptor."""
    descriptor = os.memfd_create("bucket", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield descriptor
    finally:
        os.close(descriptor)


def _path(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


@contextmanager
def _notified() -> Iterator[tuple[socket.socket, str]]:
    """Where rclone says that it is ready, as systemd has it: a socket without a place on the disk,
    whose path could be too long."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ready:
        ready.bind("")
        yield ready, "@" + ready.getsockname()[1:].decode()


def _read(path: Path) -> str:
    try:
        return path.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return ""
