"""The retry policy: when a failed input runs again, and the message that makes it so."""

from datetime import UTC, datetime

import msgspec
from squall_contracts import subjects
from squall_contracts.calls import Inputs
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.functions import RetryPolicy
from squall_contracts.message import input_id

_RETRIED: frozenset[FailureKind] = frozenset({"exception", "timeout"})
_LEAST_DELAY_S = 1.0


def delay_s(policy: RetryPolicy | None, failure: Failure, attempt: int) -> float | None:
    """Seconds until the attempt after `attempt`; None: the failure is final."""
    if policy is None or attempt >= policy.max_retries or failure.kind not in _RETRIED:
        return None
    delay = policy.initial_delay_s * policy.backoff_coefficient**attempt
    return max(_LEAST_DELAY_S, min(delay, policy.max_delay_s))


def next_attempt(
    call_subject: str, inputs: Inputs, position: int, due_unix_s: float
) -> tuple[str, Inputs, str, dict[str, str]]:
    """(subject, message, Nats-Msg-Id, headers) that run one input of `inputs` again, when due."""
    item = inputs.items[position]
    identifier = input_id(inputs.call_id, item.index)
    again = msgspec.structs.replace(inputs, items=(item,), attempt=inputs.attempt + 1)
    due = datetime.fromtimestamp(due_unix_s, UTC).isoformat().replace("+00:00", "Z")
    headers = {"Nats-Schedule": f"@at {due}", "Nats-Schedule-Target": call_subject}
    msg_id = f"{identifier}.{again.attempt}"
    return subjects.retry(call_subject, identifier), again, msg_id, headers


def split(inputs: Inputs) -> list[tuple[Inputs, str]]:
    """One message for each input of a group, with its Nats-Msg-Id: who reruns a group whose
    container died must not lose them all to the one that killed it."""
    return [
        (
            msgspec.structs.replace(inputs, items=(item,)),
            f"{input_id(inputs.call_id, item.index)}.s",
        )
        for item in inputs.items
    ]
