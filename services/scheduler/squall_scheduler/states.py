"""The states of a container as a table, and what a late, duplicate or impossible report means."""

from collections.abc import Sequence
from typing import Final

from squall_contracts.placement import ENDED, ContainerState

STEPS: Final[tuple[ContainerState, ...]] = (
    "requested",
    "placed",
    "starting",
    "importing",
    "ready",
    "draining",
    "stopped",
    "failed",
)
"""Life in order: what is told later in this list happened later."""

TRANSITIONS: Final[dict[ContainerState, frozenset[ContainerState]]] = {
    "requested": frozenset({"placed", "stopped", "failed"}),
    # Reports of runner and guest travel apart, so steps may be seen to be skipped.
    "placed": frozenset({"starting", "importing", "ready", "draining", "stopped", "failed"}),
    "starting": frozenset({"importing", "ready", "draining", "stopped", "failed"}),
    "importing": frozenset({"ready", "draining", "stopped", "failed"}),
    "ready": frozenset({"draining", "stopped", "failed"}),
    "draining": frozenset({"stopped", "failed"}),
    "stopped": frozenset(),
    "failed": frozenset(),
}

BOOTING: Final[frozenset[ContainerState]] = frozenset(
    {"requested", "placed", "starting", "importing"}
)


class InvalidTransition(Exception):  # noqa: N818 - it names the fault
    """Raised when a container is told to enter a state that cannot follow its own."""

    def __init__(
        self,
        container_id: str,
        now: ContainerState,
        told: ContainerState,
        history: Sequence[str] = (),
    ) -> None:
        self.container_id = container_id
        self.now = now
        self.told = told
        self.history = tuple(history)
        path = " > ".join(self.history) or now
        super().__init__(f"container {container_id} can't go from {now} to {told} (it was {path})")


def advance(
    container_id: str,
    now: ContainerState,
    told: ContainerState,
    history: Sequence[str] = (),
) -> ContainerState | None:
    """The state a container is in after being told `told`; None if that changes nothing.

    A duplicate, a report overtaken by a later one, and any report about an ended container change
    nothing: an ended container never comes back. InvalidTransition for what can't happen at all.
    """
    if now in ENDED or STEPS.index(told) <= STEPS.index(now):
        return None
    if told not in TRANSITIONS[now]:
        raise InvalidTransition(container_id, now, told, history)
    return told


def moment(told_unix_s: float, before_unix_s: float, now_unix_s: float) -> float:
    """When something happened that a machine reports, by this machine's clock.

    What it told, if that is after the step before and not in the future; else its clock is wrong, and
    the moment the report was read is as near as can be known.
    """
    return told_unix_s if before_unix_s <= told_unix_s <= now_unix_s else now_unix_s
