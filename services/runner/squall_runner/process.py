"""The process runtime: a container is a process tree in a virtual environment of the image.

It keeps nothing apart: no limits, no network or file system of its own; what needs those is
refused. The tree outlives the runner and is adopted by its first process's id and start time.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import IO, Final

import anyio
import structlog
from anyio.abc import TaskGroup
from squall_contracts.apps import ExecFinished
from squall_contracts.terminals import Screen
from squall_guard.owner import start_ticks
from squall_terminals.program import LocalProgram, Program

from squall_runner import core, inside, listening, proctree
from squall_runner.container_files import located
from squall_runner.container_files.root import Root
from squall_runner.core import Found, Limits, RuntimeName
from squall_runner.docker import EXEC_OUTPUT_BYTES
from squall_runner.follow import Follower
from squall_runner.forks import Origin, Zygote, ZygoteLost
from squall_runner.runtime import (
    COMPILE,
    Connection,
    Directory,
    Exit,
    Launch,
    Layout,
    Piece,
    RuntimeUnavailable,
    Sink,
    Started,
    StartRefused,
)
from squall_runner.settings import Settings
from squall_runner.wardrobe import SOURCES, Plan, Wardrobe, make_root
from squall_runner.zygotes import Zygotes

log = structlog.get_logger()

LINGER_S: Final = 2.0
"""How long a killed tree's first process may take to end its descendants."""
HANDLE_FILE: Final = "process"
_NO_MOUNTS: Final = (
    "images are mounted with Docker only: a plain process shares this machine's file system"
)


class ProcessRuntime:
    """Containers as processes. Handles are `<pid>:<start time in clock ticks>:<slot>`."""

    name: RuntimeName = "process"

    def __init__(self, settings: Settings, containers: Path, tasks: TaskGroup) -> None:
        self._containers = containers
        self._wardrobe = Wardrobe(self.layout, settings.ca_bundle)
        self._zygotes = Zygotes(settings.zygotes, settings.warm_window_s, tasks)
        self._forked: dict[int, Zygote] = {}
        self._follower: Follower
        self._ended: dict[str, asyncio.Event] = {}
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    async def open(self) -> None:
        if not hasattr(os, "pidfd_open"):
            raise RuntimeUnavailable("the process runtime needs Linux 5.3 or newer; use Docker")
        self._follower = Follower()

    async def close(self) -> None:
        await self._zygotes.close()
        self._follower.close()
        for child in self._children.values():
            child.returncode = child.poll() or 0  # left running on purpose: no ResourceWarning

    async def has_image(self, reference: str) -> bool:
        return True  # a start names a virtual environment that isn't there

    async def load_image(self, reference: str, saved: AsyncIterator[bytes]) -> tuple[str, ...]:
        raise StartRefused(f"image {reference}: virtual environments stay where they were made")

    async def remove_image(self, reference: str) -> bool:
        return True

    def gateway(self, *, block_network: bool) -> str:
        return "127.0.0.1"

    async def sees(self, path: Path) -> bool:
        return True

    def layout(self, directory: Path) -> Layout:
        return Layout(
            assignment=str(directory / "in" / "assignment"),
            files_dir=str(directory / "in" / "files"),
            root=str(directory / "root"),
            flight_record=str(directory / "out" / "flight"),
            template=str(directory / "in" / "template"),
            failure=str(directory / "out" / "failure"),
            authorities=str(directory / "in" / "authorities.pem"),
        )

    async def compile(self, reference: str, directory: Path) -> None:
        argv = [f"{reference}/bin/python", *COMPILE, str(directory)]
        try:
            process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL)
            code = await process.wait()
        except OSError as error:
            raise StartRefused(f"image {reference} has no Python that runs: {error}") from error
        if code != 0:
            log.warning("site.not_compiled", reference=reference, exit_code=code)

    async def create(self, launch: Launch) -> str:
        if not (Path(launch.reference) / "bin" / "python").exists():
            raise StartRefused(
                f"image {launch.reference} is gone from this machine; run again to rebuild it"
            )
        await asyncio.to_thread(make_root, launch)
        for source in SOURCES:
            (launch.directory / source).touch(0o600)
        return ""

    async def start(self, handle: str, launch: Launch) -> Started:
        plan = self._wardrobe.plan(launch)
        kept = plan.keep(launch.directory)
        why_not = core.needs_an_interpreter(plan.env, self._wardrobe.own(launch))
        if not why_not:
            try:
                return Started(handle=await self._fork(launch, kept), forked=True)
            except ZygoteLost as error:
                why_not = str(error)
        return Started(handle=self._execute(launch, plan), why_not=why_not)

    async def _fork(self, launch: Launch, kept: Path) -> str:
        origin = Origin(
            workspace=launch.workspace, reference=launch.reference, site=str(launch.site)
        )
        own = self._wardrobe.own(launch)
        forked, zygote = await self._zygotes.fork(origin, own, kept)
        self._forked[forked.pid] = zygote
        return _noted(launch, forked.pid, forked.ticks)

    def _execute(self, launch: Launch, plan: Plan) -> str:
        outputs = [
            os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            for path in (plan.stdout, plan.stderr)
        ]
        try:
            child = subprocess.Popen(
                [f"{launch.reference}/bin/python", "-P", str(launch.site / "boot.py")],
                env=plan.env,
                cwd=plan.cwd,
                stdin=subprocess.DEVNULL,
                stdout=outputs[0],
                stderr=outputs[1],
                start_new_session=True,
            )
        except OSError as error:
            raise StartRefused(f"the container's process can't be started: {error}") from error
        finally:
            for output in outputs:
                os.close(output)
        self._children[child.pid] = child
        return _noted(launch, child.pid, start_ticks(child.pid))

    async def limit(self, handle: str, limits: Limits) -> None:
        """What must be kept was refused; the rest are shares, which processes don't have."""

    async def memory_bytes(self, handle: str) -> int:
        if not _alive(handle):
            return 0
        return sum(map(proctree.memory_bytes, proctree.tree(_pid(handle))))

    async def usage(self, handle: str) -> tuple[float, int]:
        if not _alive(handle):
            raise StartRefused("the container has ended")
        tree = proctree.tree(_pid(handle))
        return sum(map(proctree.cpu_s, tree)), sum(map(proctree.memory_bytes, tree))

    async def written_bytes(self, handle: str, directory: Path) -> int:
        raise StartRefused("a plain process shares this machine's disk")

    async def rename(self, handle: str, name: str) -> None:
        """Processes have no names."""

    async def terminate(self, handle: str) -> None:
        self._signal(handle, signal.SIGTERM)

    async def end_input(self, handle: str) -> None:
        self._signal(handle, signal.SIGURG)

    async def connect(self, handle: str, port: int) -> Connection:
        return await inside.connect(_pid(handle), port)

    async def takes_connections(self, handle: str, port: int) -> bool:
        return listening.at(_pid(handle), port)

    async def kill(self, handle: str) -> None:
        """The tree's first process ends all the others; where it can't, its session is killed."""
        self._signal(handle, signal.SIGUSR2)
        with anyio.move_on_after(LINGER_S):
            await self._wait_gone(handle)
            return
        self._signal(handle, signal.SIGKILL, os.killpg)

    async def wait(self, handle: str, directory: Path) -> Exit:
        await self._wait_gone(handle)
        self._ended_event(handle).set()
        self._follower.wake()
        child = self._children.get(_pid(handle))
        status = child.wait() if child is not None else None
        try:
            return Exit(code=int((directory / "out" / "exit").read_text()))
        except FileNotFoundError:  # the first process was itself killed
            zygote = self._forked.get(_pid(handle))
            if zygote is not None:
                status = await zygote.status(_pid(handle))
            if status is None:
                return Exit(code=None)
            return Exit(code=128 - status if status < 0 else status)

    async def output(self, handle: str, directory: Path, position: str, sink: Sink) -> None:
        offsets = [int(part) for part in position.split(",")] if position else [0, 0]
        ended = self._ended_event(handle)

        async def read(number: int) -> None:
            path = directory / SOURCES[number]
            async for data, offset in self._follower.follow(path, offsets[number], ended):
                offsets[number] = offset
                await sink(
                    Piece(
                        source=SOURCES[number],
                        at_unix_s=time.time(),
                        data=data,
                        position=f"{offsets[0]},{offsets[1]}",
                    )
                )

        async with anyio.create_task_group() as readers:
            for number in range(len(SOURCES)):
                readers.start_soon(read, number)

    async def exec(
        self, handle: str, launch_env: dict[str, str], argv: Sequence[str], timeout_s: float
    ) -> ExecFinished:
        if not _alive(handle):
            raise StartRefused("the container has ended")
        try:
            env, cwd = self._surroundings(handle)
            process = await asyncio.create_subprocess_exec(
                *proctree.inside(_pid(handle), argv),
                env={**env, **launch_env},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise StartRefused(f"the command can't be run: {error}") from error
        try:
            with anyio.fail_after(timeout_s):
                stdout, stderr = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.wait()
            raise
        code = process.returncode or 0
        return ExecFinished(
            exit_code=128 - code if code < 0 else code,
            stdout=stdout[:EXEC_OUTPUT_BYTES],
            stderr=stderr[:EXEC_OUTPUT_BYTES],
        )

    async def program(
        self,
        handle: str,
        launch_env: dict[str, str],
        argv: Sequence[str],
        screen: Screen | None,
        workdir: str = "",
    ) -> Program:
        if not _alive(handle):
            raise StartRefused("the container has ended")
        try:
            env, cwd = self._surroundings(handle)
            return LocalProgram.start(
                proctree.inside(_pid(handle), argv),
                env={**env, **launch_env},
                cwd=self._within(handle, workdir) if workdir else cwd,
                screen=screen,
            )
        except OSError as error:
            raise StartRefused(f"the command can't be run: {error}") from error

    async def root(self, handle: str, directory: Path) -> Root:
        return located.of_directory(directory / "root")

    async def commit(self, handle: str, reference: str) -> None:
        raise StartRefused(
            "snapshots of file systems need Docker: a plain process shares this machine's"
        )

    async def keep(self, reference: str, archive: IO[bytes]) -> None:
        raise StartRefused("snapshots of directories need Docker: a plain process has no images")

    async def mount(self, handle: str, at: Directory, reference: str, inside: str) -> None:
        raise StartRefused(_NO_MOUNTS)

    async def unmount(self, handle: str, at: Directory) -> None:
        raise StartRefused(_NO_MOUNTS)

    async def forget_image(self, reference: str) -> None:
        """There are none."""

    async def remove(self, handle: str) -> None:
        if handle and _alive(handle):
            await self.kill(handle)
        self._ended.pop(handle, None)
        if not handle:
            return
        child = self._children.pop(_pid(handle), None)
        if child is not None:
            child.poll()
        zygote = self._forked.pop(_pid(handle), None)
        if zygote is not None:
            zygote.forget(_pid(handle))

    async def found(self) -> list[Found]:
        """Also ended ones: their directories still hold the exit code and the output."""
        items = []
        for directory in sorted(self._containers.iterdir()) if self._containers.is_dir() else ():
            record = directory / HANDLE_FILE
            if record.is_file():
                items.append(Found(slot=directory.name, handle=record.read_text()))
        return items

    def _surroundings(self, handle: str) -> tuple[dict[str, str], Path]:
        """A container's environment and working directory. OSError."""
        env = Plan.of(self._containers / handle.rpartition(":")[2]).env
        return env, Path(f"/proc/{_pid(handle)}/cwd").readlink()

    def _within(self, handle: str, path: str) -> Path:
        """A path of the container's: below its root if it is there, else the machine's own."""
        inside = self._containers / handle.rpartition(":")[2] / "root" / path.lstrip("/")
        return inside if inside.is_dir() else Path(path)

    def _ended_event(self, handle: str) -> asyncio.Event:
        return self._ended.setdefault(handle, asyncio.Event())

    def _signal(self, handle: str, number: int, send: Callable[[int, int], None] = os.kill) -> None:
        if _alive(handle):
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                send(_pid(handle), number)

    async def _wait_gone(self, handle: str) -> None:
        try:
            descriptor = os.pidfd_open(_pid(handle))
        except ProcessLookupError:
            return
        try:
            if _alive(handle):
                await anyio.wait_readable(descriptor)
        finally:
            os.close(descriptor)


def _pid(handle: str) -> int:
    return int(handle.partition(":")[0])


def _alive(handle: str) -> bool:
    pid, ticks, _ = handle.split(":")
    return bool(ticks) and start_ticks(int(pid)) == ticks


def _noted(launch: Launch, pid: int, ticks: str) -> str:
    """The handle of a process, kept for the next runner as well."""
    handle = f"{pid}:{ticks}:{launch.slot}"
    (launch.directory / HANDLE_FILE).write_text(handle)
    return handle
