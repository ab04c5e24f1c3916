"""What becomes of a call, from the results stored of it. Pure but for reading large payloads."""

from collections.abc import Iterable
from typing import Final

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import DigestMismatch, ObjectMissing
from squall_contracts import subjects
from squall_contracts.calls import (
    BlobRef,
    Exhausted,
    Outcome,
    Payload,
    Raised,
    Report,
    Returned,
)
from squall_contracts.forms import is_json

from squall_gateway.rest.problems import ProblemError, error_of
from squall_gateway.rest.words import Call

LARGEST_RESULT_BYTES: Final = 64 * 1024**2
"""What of a result the gateway holds in memory; larger ones are the SDK's."""


def outcome_in(reports: Iterable[Report], index: int) -> Outcome | None:
    """The first outcome of one input; -1 stands for all inputs that have none."""
    for report in reports:
        if isinstance(report, Returned | Raised | Exhausted) and report.index in {index, -1}:
            return report
    return None


async def ended(bus: Bus, call_id: str, outcome: Outcome) -> Call:
    """A call that is over. ProblemError when its result can't be had."""
    if isinstance(outcome, Raised):
        state = "cancelled" if outcome.failure.kind == "cancelled" else "failed"
        return Call(
            call_id=call_id,
            state="cancelled" if state == "cancelled" else "failed",
            error=error_of(outcome.failure),
        )
    if isinstance(outcome, Exhausted):
        return Call(call_id=call_id, state="succeeded", items=outcome.count)
    payload = await payload_of(bus, call_id, outcome.payload)
    if not is_json(payload):
        return Call(call_id=call_id, state="succeeded", form="pickle")
    return Call(call_id=call_id, state="succeeded", form="json", result=msgspec.Raw(payload))


async def payload_of(bus: Bus, call_id: str, payload: Payload) -> bytes:
    """A payload's bytes. ProblemError where they are gone, or too many."""
    if not isinstance(payload, BlobRef):
        return payload
    if payload.size_bytes > LARGEST_RESULT_BYTES:
        raise ProblemError(
            500,
            f"the result has {payload.size_bytes} bytes, more than {LARGEST_RESULT_BYTES}: read it "
            "with the SDK, or return a reference to it",
            call_id=call_id,
        )
    try:
        return await bus.objects(subjects.BLOBS_BUCKET).get(payload.name, sha256=payload.sha256)
    except (ObjectMissing, DigestMismatch) as error:
        raise ProblemError(
            404, f"the result is no longer kept: {error}", call_id=call_id
        ) from error
