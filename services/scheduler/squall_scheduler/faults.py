"""Containers that fail to start: how often in a row, what then, when to try again. Pure."""

from collections.abc import Sequence
from typing import Final

import msgspec
from squall_contracts.failures import Failure
from squall_contracts.guest import EXIT_MACHINE, EXIT_NO_BUS
from squall_contracts.placement import ContainerRecord, ContainerReport

LONGEST_PAUSE_S: Final = 30.0
NEVER: Final = float("inf")
LOST: Final = "machine lost"
STRAY_GRACE_S: Final = 2.0
"""For a container nobody wants any more, such as one given up as lost that came back."""


class StartFaults(msgspec.Struct, frozen=True, kw_only=True):
    """What a function's latest containers came to."""

    in_a_row: int = 0
    """Start failures since a container was last ready."""
    until_unix_s: float = 0.0
    """No new container before."""
    open: bool = False
    """Inputs were failed with the last failure; the next container is tried when one waits."""
    asked: bool = False
    """While open: an input waits again, and one container is tried for it."""
    failure: Failure | None = None
    """While open: what waiting inputs are answered with."""

    @property
    def held_until_unix_s(self) -> float:
        """When the next container may be started."""
        return NEVER if self.open and not self.asked else self.until_unix_s


def after_failure(
    faults: StartFaults,
    attempts: int,
    now_s: float,
    failure: Failure | None = None,
    *,
    open_s: float = 0.0,
) -> StartFaults:
    """One more container failed to start; `open`, for `open_s` at least, if that is as many as
    are tried."""
    in_a_row = faults.in_a_row + 1
    is_open = in_a_row >= attempts
    return StartFaults(
        in_a_row=in_a_row,
        until_unix_s=now_s + max(pause_s(in_a_row), open_s if is_open else 0.0),
        open=is_open,
        failure=failure if is_open else None,
    )


def refuses(faults: StartFaults, now_s: float) -> bool:
    """Whether an input that waits now is answered at once with the last failure."""
    return faults.open and not faults.asked and now_s < faults.until_unix_s


def after_request(faults: StartFaults, now_s: float) -> StartFaults:
    """An input waits: half open, once the pause is over. One that is refused changes nothing."""
    if not faults.open or refuses(faults, now_s):
        return faults
    return msgspec.structs.replace(faults, asked=True)


def pause_s(in_a_row: int) -> float:
    """Seconds before the next try: 1, 2, 4, ... 30; 0 without a failure."""
    return min(LONGEST_PAUSE_S, 2.0 ** (in_a_row - 1)) if in_a_row else 0.0


def startup_failure(report: ContainerReport) -> Failure:
    """Why a container that never got ready ended, as far as its runner can tell."""
    return Failure(kind="startup", message=f"the container failed to start: {cause(report)}")


def lost_failure(report: ContainerReport, deaths: Sequence[str]) -> Failure:
    """Why an input is given up whose containers died."""
    return Failure(
        kind="container_lost",
        message=f"{cause(report)}; {len(deaths)} containers died while they ran this input",
    )


def once_failure(report: ContainerReport) -> Failure:
    """Why an input is given up that may not be run twice, and whose container ended under it."""
    return Failure(kind="container_lost", message=f"{cause(report)}; what it ran is not run again")


def is_accident(report: ContainerReport, *, had_started: bool) -> bool:
    """Whether a failed start says little of the function: killed from outside, without NATS, or on a
    machine that had no room.
    What it does to itself, and what its runner refuses, it would do again."""
    if report.out_of_memory or report.overfull:
        return False
    if report.exit_code is None:
        return had_started
    by_others = report.exit_code in {EXIT_NO_BUS, EXIT_MACHINE}
    return by_others or report.exit_code > 128 or report.exit_code < 0


def cause(report: ContainerReport) -> str:
    """One line: the runner's own words, else out of memory or the exit code."""
    if report.reason:
        return report.reason
    if report.out_of_memory:
        return "container killed: out of memory"
    if report.exit_code is None:
        return "container ended without an exit code"
    return f"container ended with exit code {report.exit_code}"


def is_lost(record: ContainerRecord) -> bool:
    """Whether a container was given up with its machine: it may run all the same."""
    return record.state == "failed" and record.reason == LOST
