"""The command line of a one-machine server: from its options to an exit code."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import anyio
import msgspec
import structlog
from squall_bus.errors import BusError
from squall_bus.logs import configure_logs
from squall_bus.service import root_cause
from squall_bus.settings import SettingsError
from squall_runner.runtime import RunnerError

from squall_server.machine import Options, running_machine
from squall_server.natsd import NatsFailedError
from squall_server.place import Choice
from squall_server.state import DISK_FAULTS, State, StateError, default_state_dir, is_full, unusable

log = structlog.get_logger()

EXPECTED: Final = (
    BusError,
    NatsFailedError,
    RunnerError,
    SettingsError,
    StateError,
)
"""Errors whose one line says all there is to say."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. 0: stopped as told; 1: failed; 2: can't start as asked."""
    parent = os.getppid()
    state, options, until_parent_exits = _options(argv)
    configure_logs("console", "warning" if options.ephemeral else "info")
    ready: list[bool] = []
    try:
        anyio.run(
            _run,
            state,
            options,
            parent if until_parent_exits else None,
            ready,
            backend_options={"use_uvloop": True},
        )
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, OSError) and cause.errno in DISK_FAULTS:
            cause = unusable(state, cause)
        elif isinstance(cause, BusError) and is_full(state):
            cause = unusable(state, OSError(errno.ENOSPC, f"its disk is full ({cause})"))
        if not isinstance(cause, EXPECTED):
            log.error("server.failed", exc_info=error)
        print(f"squall server: {str(cause) or type(cause).__name__}", file=sys.stderr)  # noqa: T201
        return 1 if ready else 2
    return 0


async def _run(folder: Path, options: Options, parent: int | None, ready: list[bool]) -> None:
    with State(folder, ephemeral=options.ephemeral) as state:
        async with (
            _told_to_stop(parent) as stopping,
            running_machine(options, state) as announcement,
        ):
            state.announce(announcement)
            ready.append(True)
            if _say(announcement):
                await stopping.wait()
            state.withdraw()


def _options(argv: Sequence[str] | None) -> tuple[Path, Options, bool]:
    parser = argparse.ArgumentParser(
        prog="squall_server", description="All of Squall on one machine, beside a nats-server."
    )
    parser.add_argument("--state", type=Path, default=None, help="state directory")
    parser.add_argument("--runtime", choices=["auto", "docker", "process"], default="auto")
    parser.add_argument("--port", type=int, default=0, help="NATS's port; 0: any free one")
    parser.add_argument("--web-port", type=int, default=None, help="of web endpoints; 0: any")
    parser.add_argument(
        "--monitor",
        default=os.environ.get("SQUALL_MONITOR", ""),
        help="HOST:PORT for /metrics, /live and /ready; also SQUALL_MONITOR",
    )
    parser.add_argument("--ephemeral", action="store_true", help="leave nothing but caches behind")
    parser.add_argument("--until-parent-exits", action="store_true", help="end with the parent")
    found = parser.parse_args(argv)
    if not 0 <= found.port <= 65535:
        parser.error(f"--port: {found.port} is not between 0 and 65535")
    if found.web_port is not None and not 0 <= found.web_port <= 65535:
        parser.error(f"--web-port: {found.web_port} is not between 0 and 65535")
    options = Options(
        runtime=cast(Choice, found.runtime),
        port=found.port,
        web_port=found.web_port,
        ephemeral=found.ephemeral,
        monitor=found.monitor,
    )
    return (found.state or default_state_dir()).absolute(), options, found.until_parent_exits


def _say(announcement: msgspec.Struct) -> bool:
    """Tell whoever started us, on stdout. False when nobody is left to read it."""
    try:
        print(msgspec.json.encode(announcement).decode(), flush=True)  # noqa: T201
    except OSError:
        return False
    return True


@asynccontextmanager
async def _told_to_stop(parent: int | None) -> AsyncIterator[anyio.Event]:
    """An event set by SIGTERM, SIGINT or the end of process `parent`; a second signal kills."""
    stopping = anyio.Event()

    async def hear_signal() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            await anext(received)
        stopping.set()  # the handlers went with the receiver: a second signal kills

    async def outlive(process: int) -> None:
        await _ended(process)
        stopping.set()

    async with anyio.create_task_group() as group:
        group.start_soon(hear_signal)
        if parent is not None:
            group.start_soon(outlive, parent)
        yield stopping
        group.cancel_scope.cancel()


async def _ended(process: int) -> None:
    """Return once `process`, our parent, has ended."""
    if not hasattr(os, "pidfd_open"):
        while os.getppid() == process:  # noqa: ASYNC110 - no event to wait for on this system
            await anyio.sleep(1)
        return
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        await anyio.wait_readable(handle)
    finally:
        os.close(handle)
