"""Which snapshots to hold, how many, and which to give up. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec
from squall_contracts.placement import StartContainer

TOGETHER_S: Final = 10.0
"""Starts of one function within so long are a burst: as many snapshots would have served it."""
AGAIN_S: Final = 60.0
"""After a snapshot failed, until another is tried."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is good for: one version of one function, so one workspace."""

    function_id: str
    version: int
    workspace: str
    image_id: str


class HeldFact(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that is held."""

    name: str
    memory_bytes: int
    wanted_s: float
    """When its function was last started; 0: it never was."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Of all snapshots of a runner."""

    count: int
    memory_bytes: int
    spare_bytes: int
    """What must stay available on the machine."""


def key_of(start: StartContainer) -> Key:
    return Key(
        function_id=start.function_id,
        version=start.version,
        workspace=start.workspace,
        image_id=start.spec.image_id,
    )


def unheld(start: StartContainer) -> str:
    """Why no snapshot is held of a function that asks for one; empty: one can be."""
    if start.gpu or start.spec.resources.gpus:
        return "it needs a GPU, which a container held in waiting would keep from others"
    if start.spec.buckets:
        return "it has buckets, which are mounted for a container that starts"
    return ""


def how_many(starts_s: Sequence[float], now_s: float, most: int) -> int:
    """How many snapshots of a function to hold ready: as many as lately started together."""
    together = sum(1 for at_s in starts_s if now_s - at_s <= TOGETHER_S)
    return min(most, max(1, together))


def to_drop(held: Sequence[HeldFact], bounds: Bounds, available_bytes: int) -> list[str]:
    """Names of the snapshots to give up, the least recently wanted first, until the rest are
    within bounds and the machine has memory to spare."""
    rest = sorted(held, key=lambda fact: (fact.wanted_s, fact.name))
    used = sum(fact.memory_bytes for fact in rest)
    dropped = []
    while rest and (
        len(rest) > bounds.count
        or used > bounds.memory_bytes
        or available_bytes < bounds.spare_bytes
    ):
        gone = rest.pop(0)
        used -= gone.memory_bytes
        available_bytes += gone.memory_bytes
        dropped.append(gone.name)
    return dropped


def has_room(held: Sequence[HeldFact], making: int, bounds: Bounds) -> bool:
    """Whether one more can be held without giving one up."""
    used = sum(fact.memory_bytes for fact in held)
    return len(held) + making < bounds.count and used < bounds.memory_bytes
