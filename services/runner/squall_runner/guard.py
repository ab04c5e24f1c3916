"""What containers may reach: of the machine they run on NATS alone, of the rest what they are given.

Each network namespace gets rules of its own, made before any user's code runs in it and out of its
reach: it has no right to change them. Clouds serve a machine's own credentials at link-local
addresses, which are closed as well, whatever is allowed.
"""

import asyncio
import ipaddress
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog

log = structlog.get_logger()

LINK_LOCAL: Final = "169.254.0.0/16"
DEFAULT_PORT: Final = 4222
MOST_PORTS: Final = 15
"""As many as one rule takes."""
_TOOLS: Final = ("nsenter", "iptables-restore", "ip")


class GuardError(RuntimeError):
    """Raised when the rules of a network namespace can't be set."""


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """The only places a container may connect to, beside NATS and names looked up."""

    cidrs: tuple[str, ...]
    """IPv4 networks or addresses; empty: none at all."""


def outbound(cidrs: Sequence[str] | None) -> Outbound | None:
    """Of a declared allow-list; None: everywhere. ValueError names an entry that is no IPv4 network."""
    if cidrs is None:
        return None
    networks = []
    for cidr in cidrs:
        try:
            networks.append(str(ipaddress.IPv4Network(cidr)))
        except ValueError as error:
            raise ValueError(f"outbound_cidr_allowlist: {cidr!r} is no network: {error}") from error
    return Outbound(cidrs=tuple(networks))


def ports_of(servers: Iterable[str]) -> tuple[int, ...]:
    """The ports of these URLs, each once, in order."""
    found = (urlsplit(url if "//" in url else f"nats://{url}").port for url in servers)
    return tuple(sorted({port or DEFAULT_PORT for port in found}))[:MOST_PORTS]


def rules(
    addresses: Sequence[str],
    ports: Sequence[int],
    only: Outbound | None = None,
    servers: Sequence[str] = (),
) -> str:
    """For iptables-restore: of the machine, which has these addresses, only these ports. With
    `only`, of everything else these ports of `servers` (addresses, NATS elsewhere) and its list."""
    allowed = ",".join(map(str, ports))
    lines = [
        "*filter",
        ":INPUT ACCEPT",
        ":FORWARD DROP",
        ":OUTPUT ACCEPT" if only is None else ":OUTPUT DROP",
        "-A OUTPUT -o lo -j ACCEPT",
    ]
    for address in addresses:
        if ports:
            lines.append(f"-A OUTPUT -d {address} -p tcp -m multiport --dports {allowed} -j ACCEPT")
        lines.append(f"-A OUTPUT -d {address} -j REJECT")
    lines.append(f"-A OUTPUT -d {LINK_LOCAL} -j REJECT")
    if only is not None:
        lines += [
            f"-A OUTPUT -d {server} -p tcp -m multiport --dports {allowed} -j ACCEPT"
            for server in servers
        ]
        lines += [f"-A OUTPUT -d {cidr} -j ACCEPT" for cidr in only.cidrs]
        lines.append("-A OUTPUT -j REJECT")
    return "\n".join([*lines, "COMMIT", ""])


class Guard:
    """Sets the rules of one runner's network namespaces."""

    def __init__(self, servers: Iterable[str]) -> None:
        """`servers`: URLs of NATS, as containers reach it."""
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
        if not self._ports or missing or os.geteuid() != 0:
            why = f"no {missing[0]}" if missing else "it needs root"
            log.warning("guard.off", reason=why if self._ports else "no server is named")
            return
        await _addresses()
        self._on = True

    async def close_off(self, process_id: int, only: Outbound | None = None) -> None:
        """Set the rules in the network namespace of that process, in place of any it has. GuardError."""
        servers = await _resolved(self._servers) if only is not None else ()
        text = rules(await _addresses(), self._ports, only, servers)
        await _output("nsenter", f"--net=/proc/{process_id}/ns/net", "iptables-restore", text=text)


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
            raise GuardError(f"NATS at {host} is not found: {error}") from error
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
