"""The secrets of one container: asked for, opened, and handed to its guest alone.

They are in this process while the container starts, and while a snapshot of its function is made,
and in no file, environment or label of it.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import anyio
import msgspec
import structlog
from squall_bus.access.sealing import KeyPair, Unsealable, new_pair
from squall_bus.asking.replies import ABSENT_S
from squall_bus.bus import Bus
from squall_contracts import access_subjects
from squall_contracts.failures import Refused
from squall_contracts.message import encode
from squall_contracts.placement import StartContainer
from squall_contracts.secrets import OpenReply, OpenSecrets, ResealedSecrets

from squall_runner.pipes import open_for_writing, write_and_close
from squall_runner.runtime import RuntimeUnavailable, StartRefused

log = structlog.get_logger()

COMES_WITHIN_S: Final = 60.0
"""A guest that hasn't come for its assignment by then is given up."""
_MARK_KEY: Final = os.urandom(32)
_threads = anyio.CapacityLimiter(256)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What one start may have, in the clear."""

    variables: dict[str, str] = {}
    """The function's."""
    buckets: dict[str, dict[str, str]] = {}
    """Those its buckets are mounted with, by mount path: not for the container."""


async def opened(bus: Bus, start: StartContainer, runner_id: str) -> Opened:
    """The values of a function's secrets. StartRefused names what can't be had; BusError."""
    if not start.spec.secrets:
        return Opened()
    pair = new_pair()
    reply: ResealedSecrets | Refused = await bus.request(
        access_subjects.open_secrets(runner_id),
        OpenSecrets(container_id=start.container_id, runner_id=runner_id, public_key=pair.public),
        OpenReply,
        absent_s=ABSENT_S,
    )
    if isinstance(reply, Refused):
        raise StartRefused(f"secrets: {reply.message}")
    return _open(pair, start, reply)


def _open(pair: KeyPair, start: StartContainer, reply: ResealedSecrets) -> Opened:
    account = start.workspace
    try:
        return Opened(
            variables=pair.open_all(reply.variables, account),
            buckets={path: pair.open_all(each, account) for path, each in reply.buckets.items()},
        )
    except Unsealable as error:
        raise StartRefused(f"secrets of {start.spec.name}: {error}; create them again") from error


def mark(values: Mapping[str, str]) -> bytes:
    """Tells within this process whether two containers were given the same values, and nothing
    else to anybody."""
    return hashlib.blake2b(encode(sorted(values.items())), key=_MARK_KEY).digest()


async def hand_over(path: Path, assignment: bytes, ended: Callable[[], Awaitable[object]]) -> None:
    """Give a started guest its assignment through the pipe at `path`.

    A container that ends before it came for it is left as it is: whoever watches it tells why.
    RuntimeUnavailable when it neither comes nor ends.
    """
    async with anyio.create_task_group() as group:

        async def give_up_when_it_ends() -> None:
            await ended()
            group.cancel_scope.cancel()

        group.start_soon(give_up_when_it_ends)
        try:
            with anyio.fail_after(COMES_WITHIN_S):
                pipe = await open_for_writing(path, _threads)
            await write_and_close(pipe, assignment)
        except TimeoutError as error:
            raise RuntimeUnavailable(
                f"the container did not come for its assignment within {COMES_WITHIN_S:g} s"
            ) from error
        except BrokenPipeError:
            log.info("assignment.not_read")
        group.cancel_scope.cancel()
