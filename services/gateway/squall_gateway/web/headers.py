"""What of a request's and a response's headers counts, and who is believed. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

import msgspec
from squall_contracts.web import Headers

_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers of one connection, not of the request."""
_FORWARDED: Final = frozenset(
    (b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto")
)
_SECRET: Final = frozenset(
    (b"modal-key", b"modal-secret", b"squall-key", b"squall-secret", b"proxy-authorization")
)
_ORIGINS: Final = frozenset(
    (b"service-worker-allowed", b"cross-origin-opener-policy", b"clear-site-data")
)
"""What an app says for a whole origin."""
_HOP_AND_ORIGINS: Final = _HOP | _ORIGINS
_SOCKET: Final = frozenset(
    (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions")
)


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and how, once trusted proxies have been believed."""

    client: str
    scheme: str
    host: str


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and ranges of trusted proxies. ValueError names the one that is neither."""
    return tuple(ipaddress.ip_network(each, strict=False) for each in given)


def is_trusted(address: str, trusted: Iterable[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in trusted)


def origin(peer: str, host: str, headers: Headers, trusted: Sequence[Network]) -> Origin:
    """`peer` is who connected. Of X-Forwarded-For the last address counts that is no trusted proxy."""
    if not trusted or not is_trusted(peer, trusted):
        return Origin(peer, "http", host)
    said = {name: value.decode("latin-1") for name, value in headers if name in _FORWARDED}
    client = peer
    for address in reversed(said.get(b"x-forwarded-for", "").split(",")):
        if not address.strip():
            continue
        client = address.strip()
        if not is_trusted(client, trusted):
            break
    scheme = said.get(b"x-forwarded-proto", "http").strip().lower()
    return Origin(
        client,
        scheme if scheme in {"http", "https"} else "http",
        said.get(b"x-forwarded-host", host).strip() or host,
    )


def request_headers(
    headers: Headers, *, from_proxy: bool, is_socket: bool, authenticated: bool
) -> Headers:
    """What an app is told: no headers of the connection, none that only a proxy may say, no secret
    that was meant for us."""
    dropped = _dropped(from_proxy, is_socket, authenticated)
    return tuple([(name, value) for name, value in headers if name not in dropped])


@cache
def _dropped(from_proxy: bool, is_socket: bool, authenticated: bool) -> frozenset[bytes]:
    dropped = _HOP if from_proxy else _HOP | _FORWARDED
    if is_socket:
        dropped |= _SOCKET
    return dropped | _SECRET if authenticated else dropped


def response_headers(headers: Headers, *, shares_origin: bool = False) -> list[tuple[str, str]]:
    """What a client is told of what an app said. `shares_origin`: the app is served below a path, so
    that browsers take it for one with the gateway's own pages; it may not reach out for those."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in kept_headers(headers, shares_origin=shares_origin)
    ]


def kept_headers(headers: Headers, *, shares_origin: bool = False) -> list[tuple[bytes, bytes]]:
    """The same in bytes."""
    dropped = _HOP_AND_ORIGINS if shares_origin else _HOP
    return [(name, value) for name, value in headers if name not in dropped]
