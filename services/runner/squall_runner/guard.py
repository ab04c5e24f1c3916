"""What containers may reach of the machine they run on: NATS, and nothing else.

Each network namespace gets rules of its own, made before any user's code runs in it and out of its
reach: it has no right to change them. Clouds serve a machine's own credentials at link-local
addresses, which are closed as well.
"""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog

log = structlog.get_logger()

LINK_LOCAL: Final = "169.254.0.0/16"
DEFAULT_PORT: Final = 4222
MOST_PORTS: Final = 15
"""As many as one rule takes."""
_TOOLS: Final = ("nsenter", "iptables-restore", "ip")


class GuardError(RuntimeError):
    """Raised when the rules of a network namespace can't be set."""


def ports_of(servers: Iterable[str]) -> tuple[int, ...]:
    """The ports of these URLs, each once, in order."""
    found = (urlsplit(url if "//" in url else f"nats://{url}").port for url in servers)
    return tuple(sorted({port or DEFAULT_PORT for port in found}))[:MOST_PORTS]


def rules(addresses: Sequence[str], ports: Sequence[int]) -> str:
    """For iptables-restore: of the machine, which has these addresses, only these ports."""
    allowed = ",".join(map(str, ports))
    lines = [
        "*filter",
        ":INPUT ACCEPT",
        ":FORWARD DROP",
        ":OUTPUT ACCEPT",
        "-A OUTPUT -o lo -j ACCEPT",
    ]
    for address in addresses:
        if ports:
            lines.append(f"-A OUTPUT -d {address} -p tcp -m multiport --dports {allowed} -j ACCEPT")
        lines.append(f"-A OUTPUT -d {address} -j REJECT")
    lines += [f"-A OUTPUT -d {LINK_LOCAL} -j REJECT", "COMMIT", ""]
    return "\n".join(lines)


class Guard:
    """Sets the rules of one runner's network namespaces."""

    def __init__(self, servers: Iterable[str]) -> None:
        self._ports = ports_of(servers)
        self._addresses: set[str] = set()

    @property
    def is_on(self) -> bool:
        return bool(self._addresses)

    async def open(self) -> None:
        """Learn the machine's addresses. Without root, or the tools of Linux, there is no guard,
        which is logged."""
        missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
        if not self._ports or missing or os.geteuid() != 0:
            why = f"no {missing[0]}" if missing else "it needs root"
            log.warning("guard.off", reason=why if self._ports else "no server is named")
            return
        shown = await _output("ip", "-j", "-4", "addr", "show", "scope", "global")
        self._addresses = {
            info["local"] for device in json.loads(shown) for info in device.get("addr_info", ())
        }

    async def close_off(self, process_id: int, *, gateway: str = "") -> None:
        """Set the rules in the network namespace of that process. `gateway`: the machine's address
        on its network, where that was made since. GuardError."""
        addresses = self._addresses | ({gateway} if gateway else set())
        await _output(
            "nsenter",
            f"--net=/proc/{process_id}/ns/net",
            "iptables-restore",
            text=rules(sorted(addresses), self._ports),
        )


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
