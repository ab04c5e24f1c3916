"""A cold start as a table: where the time went from the wish for a container until it was ready."""

from typing import Final

from squall_contracts.message import Message
from squall_contracts.placement import ContainerRecord, StartPath

RUNNER_PHASES: Final[tuple[str, ...]] = ("image", "sandbox", "start")
"""Told by the runner: finding the image, making what the container is made of (its sandbox, files
and credentials), starting it or handing it its assignment."""
GUEST_PHASES: Final[tuple[str, ...]] = (
    "boot",
    "files",
    "import",
    "enter",
    "web_startup",
    "connect",
)
"""Told by the guest: Python and Squall's imports, files laid over the image, the user's imports,
enter hooks, the start of a web server, what was left of connecting."""
EXPLAINED: Final = {
    "queued": "until a machine was found",
    "placed": "until its runner heard of it",
    "image": "finding the image",
    "sandbox": "container, files, credentials",
    "start": "starting it, or handing it over",
    "boot": "Python and Squall's imports",
    "files": "files laid over the image",
    "import": "the user's imports",
    "enter": "enter hooks",
    "web_startup": "its web server's own start",
    "connect": "connecting to the bus",
    "ready": "until it asked for inputs",
}


class Phase(Message, frozen=True, kw_only=True):
    name: str
    ms: float


class ColdStart(Message, frozen=True, kw_only=True):
    """One container's start."""

    phases: tuple[Phase, ...]
    total_ms: float | None
    """From the wish until it was ready; None: it isn't, or never was."""
    dominating: str
    """The phase that took longest; empty: nothing was measured."""
    path: StartPath
    path_reason: str


def cold_start(record: ContainerRecord) -> ColdStart:
    """The phases of a start in the order they happened, those known so far.

    Between two machines' clocks a phase may come out below zero: it is shown as 0.
    """
    since, told = record.since_unix_s, record.phases_ms
    by_runner = {name: told[name] for name in RUNNER_PHASES if name in told}
    by_guest = {name: told[name] for name in GUEST_PHASES if name in told}
    found: dict[str, float] = {}
    if "requested" in since and "placed" in since:
        found["queued"] = _between(since, "requested", "placed")
    if "placed" in since and "starting" in since:
        found["placed"] = _between(since, "placed", "starting") - sum(by_runner.values())
    found |= by_runner
    found |= by_guest
    if "starting" in since and "ready" in since:
        found["ready"] = _between(since, "starting", "ready") - sum(by_guest.values())
    phases = tuple(Phase(name=name, ms=round(max(0.0, ms), 2)) for name, ms in found.items())
    longest = max(phases, key=lambda phase: phase.ms, default=None)
    return ColdStart(
        phases=phases,
        total_ms=round(max(0.0, _between(since, "requested", "ready")), 2)
        if "requested" in since and "ready" in since
        else None,
        dominating=longest.name if longest is not None else "",
        path=record.path,
        path_reason=record.path_reason,
    )


def _between(since: dict[str, float], first: str, then: str) -> float:
    return (since[then] - since[first]) * 1000
