"""Commit and reload inside a container: its runner does the work, and is asked until it is done."""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

from squall_contracts import subjects
from squall_contracts.failures import Refused
from squall_contracts.guest import Assignment
from squall_contracts.message import new_id
from squall_contracts.volumes import (
    ANSWER_WITHIN_S,
    AskVolume,
    VolumeAnswer,
    VolumeMount,
    VolumeReply,
)

from squall import _client, _container
from squall.exception import InvalidError

AWAY_S = 60.0
"""How long the runner may be away (it restarts) before a request to it fails."""
RETRY_S = 0.2


async def commit(volume_id: str) -> None:
    """RuntimeError when it fails."""
    here, mount = _mounted(volume_id)
    if mount.read_only:
        raise InvalidError(f"the volume at {mount.path} is mounted read-only: nothing to commit")
    await _ask(here, AskVolume(action="commit", volume_id=volume_id, token=new_id("rq")))
    if _open_below(here, mount.path) is None:
        await _ask(here, AskVolume(action="reload", volume_id=volume_id, token=new_id("rq")))


async def reload(volume_id: str) -> None:
    """RuntimeError when files are open, or when it fails."""
    here, mount = _mounted(volume_id)
    held = _open_below(here, mount.path)
    if held is not None:
        raise RuntimeError(f"can't reload the volume at {mount.path}: {held} is open: close it")
    await _ask(here, AskVolume(action="reload", volume_id=volume_id, token=new_id("rq")))


def _mounted(volume_id: str) -> tuple[Assignment, VolumeMount]:
    here = _container.assignment()
    if here is None:
        raise RuntimeError(
            "volumes are committed and reloaded in a container that has them mounted"
        )
    for mount in here.spec.volumes:
        if mount.volume_id == volume_id:
            return here, mount
    raise RuntimeError(
        f"volume {volume_id} is not mounted in {here.spec.name}: "
        "name it in the function's volumes={…}"
    )


async def _ask(here: Assignment, question: AskVolume) -> None:
    """Ask until the runner has done it. RuntimeError when it refuses, or isn't there for long."""
    from squall_bus.errors import BusError
    from squall_volumes.patient import AWAY

    client = await _client.connected()
    subject = subjects.up_volume(here.container_id)
    heard_s = time.monotonic()
    while True:
        try:
            reply: VolumeAnswer | Refused = await client.bus.request(
                subject, question, VolumeReply, timeout_s=ANSWER_WITHIN_S * 3
            )
        except AWAY as error:
            if time.monotonic() - heard_s > AWAY_S:
                raise RuntimeError(f"{question.action} failed: {error}") from error
            await asyncio.sleep(RETRY_S)
            continue
        except BusError as error:
            raise RuntimeError(f"{question.action} failed: {error}") from error
        if isinstance(reply, Refused):
            raise RuntimeError(f"{question.action} failed: {reply.message}")
        if reply.state == "done":
            return
        heard_s = time.monotonic()


# --- open files -----------------------------------------------------------------------------------


def _open_below(here: Assignment, path: str) -> str | None:
    """A file below `path` that a process of this container holds open; None: there is none."""
    prefix = f"{path}/"
    for process in _processes(here):
        try:
            for descriptor in (process / "fd").iterdir():
                target = str(descriptor.readlink())
                if target.startswith(prefix) and not target.endswith(" (deleted)"):
                    return target
        except OSError:
            continue  # it ended, or is not ours to look at
    return None


def _processes(here: Assignment) -> Iterator[Path]:
    """Those of this container: all we see in Docker, those of our session as plain processes."""
    session = os.getsid(0)
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            if here.root == "/" or os.getsid(int(process.name)) == session:
                yield process
        except OSError:
            continue
