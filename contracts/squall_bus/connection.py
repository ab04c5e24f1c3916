"""Connecting, and staying connected: credentials are renewed before they expire."""

import asyncio
import base64
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from squall_contracts.guest import Credentials

from squall_bus.bus import Bus
from squall_bus.errors import BusError, BusRefused, BusUnreachable

MARGIN_S: Final = 300.0
"""How long before its expiry a JWT is renewed; a quarter of its life when that is less."""
RETRY_S: Final = 5.0
ANSWER_S: Final = 20.0
"""What a server that let us in may take to answer: it may just be short of disk or processor."""

_log: Final = logging.getLogger("squall.bus")


async def connect(
    servers: Sequence[str],
    credentials: Credentials | None,
    *,
    name: str,
    inbox: str,
    renew: Callable[[str], Awaitable[str]] | None = None,
    connect_timeout_s: float = 5.0,
    ca_file: str = "",
) -> Bus:
    """Connect to the first of `servers` that answers, and reconnect forever after.

    `name` is shown by the server's monitoring; `inbox` is subjects.inbox(owner id), or begins with
    that. Without `credentials` one is in the lobby, where nothing can be done but to sign in.
    `ca_file`: see open_wire. `renew` gives a new JWT for the old one; None: the JWT does not expire.
    BusUnreachable when no server answers, BusRefused when the credentials aren't taken or don't
    cover `inbox`.
    """
    from squall_bus.wire.opening import open_wire

    holder = _Holder("" if credentials is None else credentials.jwt)
    wire = await open_wire(
        servers,
        name=name,
        inbox=inbox,
        jwt=lambda: holder.jwt,
        seed="" if credentials is None else credentials.seed,
        timeout_s=connect_timeout_s,
        ca_file=ca_file,
    )
    bus = Bus(wire, name=name)
    wire.volatile = bus.volatile_prefixes
    try:
        await _reached(bus, max(connect_timeout_s, ANSWER_S))
        bus.check_inbox()
    except BusError:
        await bus.close()
        raise
    if renew is not None:
        bus.tasks.spawn(_keep_renewed(bus, holder, renew), f"{name}: credentials")
    return bus


async def _reached(bus: Bus, within_s: float) -> None:
    """Wait for an answer; a connection that breaks meanwhile is awaited. BusUnreachable after
    `within_s` without."""
    back = asyncio.Event()
    bus.wire.hooks.reconnected.append(back.set)
    try:
        async with asyncio.timeout(within_s):
            while True:
                back.clear()
                try:
                    return await bus.flush()
                except BusUnreachable:
                    if not bus.is_connected:
                        await back.wait()
    except TimeoutError as error:
        raise BusUnreachable(f"the server did not answer within {within_s:g} s") from error
    finally:
        bus.wire.hooks.reconnected.remove(back.set)


class _Holder:
    """The JWT of now: nats-py asks for it synchronously at every connect."""

    def __init__(self, jwt: str) -> None:
        self.jwt = jwt


def claims(jwt: str) -> dict[str, Any]:
    """What a JWT says, unverified: only its holder's own server can tell whether it is good.

    BusRefused when it isn't a JWT of a user.
    """
    try:
        body = jwt.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        if not found["sub"]:
            raise ValueError("it names nobody")
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise BusRefused("the credentials hold no JWT of a NATS user: get new ones") from error
    return found


def renewal_delay_s(jwt: str, now_unix_s: float, spread: float) -> float | None:
    """Seconds until `jwt` should be renewed, moved by `spread` (0 to 1); None: it never expires."""
    found = claims(jwt)
    if not found.get("exp"):
        return None
    expires = float(found["exp"])
    life_s = max(1.0, expires - float(found.get("iat", now_unix_s)))
    margin_s = min(MARGIN_S, life_s / 4) * (0.75 + 0.5 * spread)
    return max(0.0, expires - margin_s - now_unix_s)


async def _keep_renewed(bus: Bus, holder: _Holder, renew: Callable[[str], Awaitable[str]]) -> None:
    """Renew with jitter, so that a fleet started at once doesn't renew at once, then reconnect.

    A machine that slept finds its connection lost, and its JWT perhaps expired: it renews then.
    """
    lost = asyncio.Event()
    bus.wire.hooks.lost.append(lost.set)
    while True:
        delay_s = renewal_delay_s(holder.jwt, time.time(), random.random())
        if delay_s is None:
            return
        lost.clear()
        await _event_within(lost, delay_s)
        due_s = renewal_delay_s(holder.jwt, time.time(), 0.0)
        if lost.is_set() and due_s:
            continue
        try:
            holder.jwt = await renew(holder.jwt)
        except Exception as error:  # noqa: BLE001 - whatever it was, the old JWT may serve a while yet
            _log.error("%s: credentials not renewed, trying again: %s", bus.name, error)
            life_s = float(claims(holder.jwt)["exp"]) - time.time()
            await asyncio.sleep(max(0.2, min(RETRY_S, life_s / 4)))
            continue
        await bus.wire.reconnect()


async def _event_within(event: asyncio.Event, seconds: float) -> None:
    """Return once `event` is set, or after `seconds`."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait([waiting], timeout=seconds)
    finally:
        waiting.cancel()
