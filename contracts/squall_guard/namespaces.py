"""Sets the rules of network namespaces, before any user's code runs in them and out of its reach:
it has no right to change them."""

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from squall_guard.rules import Outbound, ports_of, rules

log = structlog.get_logger()

_TOOLS: Final = ("nsenter", "iptables-restore", "ip")


class GuardError(RuntimeError):
    """Raised when the rules of a network namespace can't be set."""


class Guard:
    """Sets the rules of one service's network namespaces."""

    def __init__(self, servers: Iterable[str]) -> None:
        """`servers`: URLs that must be reached, wherever they are."""
        self._servers = tuple(servers)
        self._ports = ports_of(self._servers)
        self._on = False

    @property
    def is_on(self) -> bool:
        return self._on

    async def open(self) -> None:
        """See whether there can be one. Without root, or the tools of Linux, there is none, which is
        logged. GuardError."""
        missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
        if missing or os.geteuid() != 0:
            log.warning("guard.off", reason=f"no {missing[0]}" if missing else "it needs root")
            return
        await _addresses()
        self._on = True

    async def close_off(self, process_id: int, only: Outbound | None = None) -> None:
        """Set the rules in the network namespace of that process, in place of any it has. GuardError,
        also where that is this process's own: the engine then counts processes otherwise."""
        space = f"/proc/{process_id}/ns/net"
        if _is_own(space):
            raise GuardError(
                "the processes of the Docker engine are not seen from here: run this service in the "
                "engine's own pid namespace (docker run --pid host)"
            )
        servers = await _resolved(self._servers) if only is not None else ()
        text = rules(await _addresses(), self._ports, only, servers)
        await _output("nsenter", f"--net=/proc/{process_id}/ns/net", "iptables-restore", text=text)


def _is_own(space: str) -> bool:
    """Whether a network namespace is this process's, or can't be seen."""
    try:
        return Path(space).stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    except FileNotFoundError:
        return True


async def _addresses() -> tuple[str, ...]:
    """The machine's own, as they are now: networks come and go. GuardError."""
    shown = await _output("ip", "-j", "-4", "addr", "show", "scope", "global")
    found = {info["local"] for device in json.loads(shown) for info in device.get("addr_info", ())}
    return tuple(sorted(found))


async def _resolved(urls: Sequence[str]) -> tuple[str, ...]:
    """The addresses behind these URLs' hosts. GuardError: one is not found."""
    found = set[str]()
    loop = asyncio.get_running_loop()
    for url in urls:
        host = urlsplit(url if "//" in url else f"nats://{url}").hostname or ""
        try:
            answers = await loop.getaddrinfo(host, None, family=socket.AF_INET)
        except OSError as error:
            raise GuardError(f"{host} is not found: {error}") from error
        found |= {str(answer[4][0]) for answer in answers}
    return tuple(sorted(found))


async def _output(*argv: str, text: str = "") -> str:
    # From a file, not a pipe: a tool that ends without reading would break what is written to it.
    with tempfile.TemporaryFile() as given:
        given.write(text.encode())
        given.seek(0)
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    said, errors = await process.communicate()
    if process.returncode != 0:
        reason = errors.decode("utf-8", "replace").strip().splitlines()
        raise GuardError(f"{argv[0]} failed: {reason[-1] if reason else process.returncode}")
    return said.decode()
