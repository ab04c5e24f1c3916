"""Waiting for what becomes of a sandbox: told by the server as it happens, and asked for now and then."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from squall_contracts import sandbox_subjects
from squall_contracts.sandboxes import Ended, FindSandbox, SandboxInfo

from squall._client import translated
from squall.exception import (
    ConnectionError,
    Error,
    SandboxTerminatedError,
    SandboxTimeoutError,
    ServiceError,
)

if TYPE_CHECKING:
    from squall_bus.bus import Delivery

    from squall._client import Client

ASK_AGAIN_S: Final = 15.0
"""The news is not stored: ask now and then, lest it was missed while somebody was away."""
AWAY_S: Final = 0.5
"""Before a server that is away is asked again."""


async def until(
    client: "Client", sandbox_id: str, satisfied: Callable[[SandboxInfo], bool]
) -> SandboxInfo:
    """What is known of it once that is satisfying. On the SDK loop. NotFoundError. A server that is
    away is waited for."""
    latest: list[SandboxInfo] = []
    news = asyncio.Event()

    def hear(delivery: "Delivery") -> None:
        latest.append(delivery.decode(SandboxInfo))
        news.set()

    async with translated():
        hearing = await client.bus.subscribe(sandbox_subjects.down_sandbox(sandbox_id), hear)
    try:
        while True:
            latest.append(await _asked(client, sandbox_id))
            found = await _heard(latest, news, satisfied)
            if found is not None:
                return found
    finally:
        if not client.is_closed:
            await hearing.close()


async def _heard(
    latest: list[SandboxInfo], news: asyncio.Event, satisfied: Callable[[SandboxInfo], bool]
) -> SandboxInfo | None:
    """The first news that is satisfying; None: it is time to ask again."""
    try:
        async with asyncio.timeout(ASK_AGAIN_S):
            while True:
                while latest:
                    if satisfied(found := latest.pop(0)):
                        return found
                news.clear()
                await news.wait()
    except TimeoutError:
        return None


async def _asked(client: "Client", sandbox_id: str) -> SandboxInfo:
    while True:
        try:
            return await client.control(FindSandbox(sandbox_id=sandbox_id))
        except (ServiceError, ConnectionError):
            await asyncio.sleep(AWAY_S)


def has_begun(info: SandboxInfo) -> bool:
    """Its command runs, or it has ended."""
    return info.ended is not None or info.state in {"starting", "ready", "draining"}


def is_ready(info: SandboxInfo) -> bool:
    return info.ended is not None or info.state == "ready"


def has_ended(info: SandboxInfo) -> bool:
    return info.ended is not None


def error_of(sandbox_id: str, ended: Ended) -> Error:
    """What has ended can't be used any more."""
    if ended.outcome == "timeout":
        return SandboxTimeoutError(f"sandbox {sandbox_id} has ended: {ended.reason}")
    return SandboxTerminatedError(f"sandbox {sandbox_id} has ended: {ended.reason}")
