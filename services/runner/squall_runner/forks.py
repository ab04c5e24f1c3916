"""A zygote as its runner knows it: a process, and what it says. `zygote.py` is the other end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections import deque
from pathlib import Path
from typing import IO, Any, Final

import anyio
import msgspec
from squall_guard.owner import start_ticks

from squall_runner.runtime import RunnerError

READY_S: Final = 30.0
ANSWERS_WITHIN_S: Final = 10.0
"""A fork takes milliseconds, on a machine that has none to spare a little more."""
ENDS_WITHIN_S: Final = 2.0
WORD_BYTES: Final = 4096
LONGEST_COMPLAINT: Final = 300


class ZygoteLost(RunnerError):  # noqa: N818 - it is named for what happened
    """Raised when there is no zygote to fork from: one line why."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a zygote is good for. Never for two workspaces: it has imported from the image of one."""

    workspace: str
    reference: str
    site: str


class Forked(msgspec.Struct, frozen=True):
    """A container's first process. `ticks`: when it started; with the pid it names it for good."""

    pid: int
    ticks: str


class Zygote:
    """One process, and what it says."""

    def __init__(self, origin: Origin, env: dict[str, str]) -> None:
        """Start it. OSError."""
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `gone`
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        try:
            self._process = subprocess.Popen(
                [f"{origin.reference}/bin/python", "-P", f"{origin.site}/zygote.py"],
                env=env,
                cwd="/",
                stdin=theirs.fileno(),
                stdout=self._complaints,
                stderr=self._complaints,
                start_new_session=True,
            )
        except OSError:
            self._control.close()
            self._complaints.close()
            raise
        finally:
            theirs.close()
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._forks: deque[asyncio.Future[Forked]] = deque()
        self._ended: dict[int, asyncio.Future[int | None]] = {}
        self.lost = ""
        """Why it can't be asked any more; empty: it can."""
        self.over = anyio.Event()
        self._loop.add_reader(self._control, self._hear)

    async def ready(self) -> None:
        """Return once it can be asked. ZygoteLost."""
        try:
            with anyio.fail_after(READY_S):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self.close("it was not ready in time")
            raise ZygoteLost(self.lost) from None

    async def fork(self, launch: Path) -> Forked:
        """A container forked for this launch file. ZygoteLost."""
        if self.lost:
            raise ZygoteLost(self.lost)
        forked: asyncio.Future[Forked] = self._loop.create_future()
        try:
            self._control.send(os.fsencode(launch))
        except OSError as error:
            self.close(f"it can't be asked: {error}")
            raise ZygoteLost(self.lost) from error
        self._forks.append(forked)
        try:
            with anyio.fail_after(ANSWERS_WITHIN_S):
                return await forked
        except TimeoutError:
            self.close("it does not answer")
            raise ZygoteLost(self.lost) from None

    async def status(self, pid: int) -> int | None:
        """How a container ended it was asked for, as an exit code, below 0 for a signal. None: it
        did not live to see that."""
        ended = self._ended.get(pid)
        return None if ended is None else await asyncio.shield(ended)

    def forget(self, pid: int) -> None:
        self._ended.pop(pid, None)

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self, why: str) -> None:
        """Let it end: it does when its socket is closed. What it forked goes on."""
        if self.lost:
            return
        self.lost = why
        self.over.set()
        self._loop.remove_reader(self._control)
        self._control.close()
        asked: list[asyncio.Future[Any]] = [self._ready, *self._forks]
        for waiting in asked:
            if not waiting.done():
                waiting.set_exception(ZygoteLost(why))
                waiting.exception()  # whoever waits gets it; nobody may
        for ended in self._ended.values():
            if not ended.done():
                ended.set_result(None)

    async def gone(self) -> None:
        """Return once the closed process has ended: soon, or it is killed."""
        try:
            await asyncio.to_thread(self._process.wait, ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        self._complaints.close()

    def _hear(self) -> None:
        while not self.lost:
            try:
                word = self._control.recv(WORD_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self.close(f"its socket broke: {error}")
                return
            if not word:
                self.close(self._last_words())
                return
            self._take(json.loads(word))

    def _take(self, word: dict[str, Any]) -> None:
        if "ready" in word:
            if not self._ready.done():
                self._ready.set_result(None)
        elif "unfit" in word:
            self.close(str(word["unfit"]))
        elif "forked" in word:
            self._give(Forked(*word["forked"]))
        elif "ended" in word:
            pid, status = word["ended"]
            if pid in self._ended and not self._ended[pid].done():
                self._ended[pid].set_result(os.waitstatus_to_exitcode(status))

    def _give(self, forked: Forked) -> None:
        self._ended[forked.pid] = self._loop.create_future()
        asked = self._forks.popleft()
        if not asked.done():
            asked.set_result(forked)
        elif start_ticks(forked.pid) == forked.ticks:  # whoever asked was cancelled
            with contextlib.suppress(ProcessLookupError):
                os.kill(forked.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        """Why it ended, as far as it said."""
        size = self._complaints.seek(0, os.SEEK_END)
        self._complaints.seek(max(0, size - LONGEST_COMPLAINT))
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return f"it ended: {lines[-1]}" if lines else "it ended"
