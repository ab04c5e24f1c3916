"""What may leave a network namespace, as rules for iptables-restore. Pure.

Of the machine a few ports are open and nothing else; clouds serve a machine's own credentials at
link-local addresses, which are closed whatever is allowed.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

LINK_LOCAL: Final = "169.254.0.0/16"
DEFAULT_PORT: Final = 4222
MOST_PORTS: Final = 15
"""As many as one rule takes."""
_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class Outbound(msgspec.Struct, frozen=True, kw_only=True):
    """The only places that can be connected to, beside the machine's open ports and names looked up."""

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


def ports_of(urls: Iterable[str]) -> tuple[int, ...]:
    """The ports of these URLs (without a scheme: of NATS), each once, in order."""
    found = (urlsplit(url if "//" in url else f"nats://{url}") for url in urls)
    ports = {each.port or _PORTS.get(each.scheme, DEFAULT_PORT) for each in found}
    return tuple(sorted(ports))[:MOST_PORTS]


def rules(
    addresses: Sequence[str],
    ports: Sequence[int],
    only: Outbound | None = None,
    servers: Sequence[str] = (),
) -> str:
    """Of the machine, which has these addresses, only these ports. With `only`, of everything else
    these ports of `servers` (addresses) and its list."""
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
