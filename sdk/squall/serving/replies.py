"""What a job's outcome says, and to which queue."""

from typing import Any, NamedTuple

from squall.serving.payloads import (
    AsyncInputModel,
    DelayedFailureOutputModel,
    InferenceOutputModel,
)


class Outcome(NamedTuple):
    """What became of one input: `output`, or the text of an error and None."""

    output: dict[str, Any] | None
    error: str | None = None


class Reply(NamedTuple):
    """A message for a queue."""

    queue: str
    body: str


def outcome_of(result: InferenceOutputModel | Exception, meta: dict[str, Any]) -> Outcome:
    """An output with the caller's `meta`, or what an input failed with."""
    if isinstance(result, Exception):
        return Outcome(None, f"{type(result).__name__}: {result}")
    return Outcome(result.model_copy(update={"meta": meta or result.meta}).model_dump(mode="json"))


def reply_to(request: AsyncInputModel[Any], outcome: Outcome, job_id: str) -> Reply | None:
    """The message that tells of an outcome; None if the caller named no queue for it.

    A success carries the output's fields, `meta` and the job's id, and no `error`. An output whose
    status is another goes to the failure queue, as it is; an input that failed goes there together
    with the original message.
    """
    if outcome.output is None:
        if not request.failure_queue:
            return None
        failure = DelayedFailureOutputModel(
            status="error",
            error=outcome.error,
            original_message=request,
            job_id=job_id,  # type: ignore[call-arg] # extra fields are allowed
        )
        return Reply(request.failure_queue, failure.model_dump_json())
    output = InferenceOutputModel.model_validate({**outcome.output, "job_id": job_id})
    if output.status == "success":
        body = output.model_dump_json(exclude={"error"})
        return Reply(request.success_queue, body) if request.success_queue else None
    if not request.failure_queue:
        return None
    return Reply(request.failure_queue, output.model_dump_json())
