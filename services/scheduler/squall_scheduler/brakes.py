"""The crash brake: a machine on which container after container fails rests for a while. Pure.

What counts is the machine's or the container's failure, not the program's: an exception, also one
at import, does not, and neither does a second death under one input, which more likely died of it.
Nor does a container that wrote more files than it may: these are its own, measured on its own.
"""

import msgspec
from squall_contracts.guest import EXIT_NO_BUS, EXIT_STARTUP, EXIT_STUCK
from squall_contracts.message import input_id
from squall_contracts.placement import ContainerReport


class BrakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    failures: int = 5
    within_s: float = 300.0
    rest_s: float = 60.0


class Brake(msgspec.Struct, frozen=True):
    """What containers came to on one machine lately."""

    failed: tuple[tuple[str, float], ...] = ()
    """What each failure is counted as, and when it was, oldest first."""
    rests_until_unix_s: float = 0.0


def culprit(report: ContainerReport, was_told_to_stop: bool) -> str | None:
    """What a failure is counted as, each once: the input it died under, else the container.
    None: it says nothing of the machine."""
    excused = {EXIT_STARTUP, EXIT_NO_BUS, EXIT_STUCK}
    if report.state != "failed" or was_told_to_stop or report.exit_code in excused:
        return None
    if report.overfull:
        return None
    if report.held and report.held[0].indexes:
        return input_id(report.held[0].call_id, report.held[0].indexes[0])
    return report.container_id


def after_crash(brake: Brake, what: str, now_s: float, limits: BrakeLimits) -> Brake:
    """One more failure. As many as allowed make the machine rest, and begin the count anew."""
    recent = tuple(
        (name, at) for name, at in brake.failed if now_s - at < limits.within_s and name != what
    )
    failed = (*recent, (what, now_s))
    if len(failed) < limits.failures:
        return Brake(failed, brake.rests_until_unix_s)
    return Brake((), now_s + limits.rest_s)
