"""This machine: what it offers, which runner it is, and that no other runner uses its state."""

# ruff: noqa: N818 - they are named for what happened; `Error` ends the root's name alone

import fcntl
import os
import socket
from pathlib import Path
from typing import IO

import structlog
from squall_contracts.message import new_id
from squall_contracts.placement import RunnerRecord

from squall_runner.gpus import detect
from squall_runner.runtime import RunnerError
from squall_runner.settings import Settings

log = structlog.get_logger()


class StateInUse(RunnerError):
    """Raised when another runner works on the state directory."""


def lock(state: Path) -> IO[str]:
    """Hold the directory until the returned file is closed. StateInUse when another does."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (state / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StateInUse(
            f"another runner works on {state}: stop it or set SQUALL_RUNNER_STATE_DIR"
        ) from error
    return file


def runner_id(state: Path) -> str:
    """The id of the runner whose state this is; made at its first start."""
    path = state / "runner_id"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = new_id("rn")
        path.write_text(f"{made}\n")
        return made


def memory_mib() -> int:
    """All memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1024 * 1024)


def available_bytes() -> int:
    """Memory that could be used now without pushing anything out."""
    with Path("/proc/meminfo").open() as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def cores() -> float:
    """Cores this process may use."""
    return float(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def gpus(settings: Settings) -> tuple[str, ...]:
    """What this runner offers: the GPUs its settings declare, else those NVML finds. None as plain
    processes: nothing would keep one function off another's device."""
    if settings.runtime == "docker":
        return settings.gpus or detect()
    if settings.gpus:
        log.warning("gpus.not_offered", why="GPUs need Docker", declared=settings.gpus)
    return ()


def describe(settings: Settings, identity: str) -> RunnerRecord:
    return RunnerRecord(
        runner_id=identity,
        hostname=socket.gethostname(),
        runtime=settings.runtime,
        cpu=settings.cpu or cores(),
        memory_mib=settings.memory_mib or memory_mib(),
        gpus=settings.gpus,
        labels=settings.labels,
    )
