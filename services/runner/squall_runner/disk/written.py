"""What a Docker container has written that is no volume's of ours.

Most of it is its own layer, which the engine measures. What it may write to beside that is here: the
directory of its flight record, volumes its image declares, and the files the engine puts into /etc. The
engine's own directories are looked at where this process sees them.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
from aiodocker import Docker

from squall_runner import engine
from squall_runner.runtime import RuntimeUnavailable

_NAMES: Final = ("HostsPath", "HostnamePath", "ResolvConfPath")
_KIB: Final = 1024


async def by_container(docker: Docker, container: str, own: Iterable[Path] = ()) -> int:
    """Bytes a container has on disk, and below the directories `own`. StartRefused: it is gone;
    RuntimeUnavailable."""
    with engine.told("measure the container's files"):
        shown = await docker.containers.container(container).show(size="true")
    layer = int(shown.get("SizeRw") or 0)
    return layer + await _below([*own, *_elsewhere(shown)])


def _elsewhere(shown: Mapping[str, Any]) -> Iterator[Path]:
    """Where else the engine lets it write."""
    for name in _NAMES:
        if path := shown.get(name):
            yield Path(path)
    for mount in shown.get("Mounts") or ():
        if mount["Type"] == "volume" and mount.get("Source"):
            yield Path(mount["Source"])


async def _below(paths: list[Path]) -> int:
    """Bytes on disk of these and all below them. Another process looks: code in the container says how
    deep and how many they are, and changes them meanwhile. RuntimeUnavailable."""
    if not paths:
        return 0
    try:
        process = await asyncio.create_subprocess_exec(
            "du", "-skx", "--", *map(str, paths), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise RuntimeUnavailable(f"files can't be measured: {error}") from error
    try:
        said, _ = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()
        raise
    # What is gone, or not seen from here, has no line of its own.
    return sum(int(line.split(None, 1)[0]) * _KIB for line in said.splitlines())
