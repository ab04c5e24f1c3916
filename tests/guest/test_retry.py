"""When a failed input runs again, and what is published for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts import subjects
from squall_contracts.calls import Input, Inputs
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.functions import RetryPolicy
from squall_guest.retry import delay_s, next_attempt, split

RAISED = Failure(kind="exception", message="Odd: x")
CALL = subjects.call("main", "fn-1", "bulk", "fc-1")


def test_no_policy_means_no_retry() -> None:
    assert delay_s(None, RAISED, 0) is None


@pytest.mark.parametrize("kind", ["cancelled", "result", "arguments", "startup", "internal"])
def test_only_exceptions_and_timeouts_are_retried(kind: FailureKind) -> None:
    policy = RetryPolicy(max_retries=3)
    assert delay_s(policy, Failure(kind=kind, message="x"), 0) is None
    assert delay_s(policy, Failure(kind="timeout", message="x"), 0) == 1.0


def test_delays_grow_by_the_coefficient_up_to_the_cap() -> None:
    policy = RetryPolicy(
        max_retries=5, backoff_coefficient=3.0, initial_delay_s=2.0, max_delay_s=10.0
    )
    assert [delay_s(policy, RAISED, k) for k in range(6)] == [2.0, 6.0, 10.0, 10.0, 10.0, None]


@given(
    st.integers(0, 50),
    st.floats(1, 10),
    st.floats(0, 60),
    st.floats(1, 60),
    st.integers(0, 50),
)
def test_a_delay_is_between_a_second_and_the_cap(
    retries: int, coefficient: float, initial: float, cap: float, attempt: int
) -> None:
    policy = RetryPolicy(
        max_retries=retries,
        backoff_coefficient=coefficient,
        initial_delay_s=initial,
        max_delay_s=cap,
    )
    delay = delay_s(policy, RAISED, attempt)
    assert (delay is None) == (attempt >= retries)
    assert delay is None or 1.0 <= delay <= max(1.0, cap)


def test_the_next_attempt_waits_at_the_retry_subject_for_the_call_subject() -> None:
    inputs = Inputs("fc-1", "reply.main.cl-1.fc-1", (Input(4, b"a"), Input(5, b"b")), 1, "in-0-0")
    subject, again, msg_id, headers = next_attempt(CALL, inputs, 1, 1_700_000_000.25)
    assert subject == "retry.main.fn-1.bulk.fc-1.in-1-5"
    assert again == Inputs("fc-1", inputs.reply_to, (Input(5, b"b"),), 2, "in-0-0")
    assert msg_id == "in-1-5.2"
    assert headers == {
        "Nats-Schedule": "@at 2023-11-14T22:13:20.250000Z",
        "Nats-Schedule-Target": CALL,
    }


def test_a_split_group_keeps_every_input_under_an_id_of_its_own() -> None:
    items = (Input(7, b"a"), Input(9, b"b"))
    singles = split(Inputs("fc-1", "reply.main.cl-1.fc-1", items, 0, ""))
    assert [(s.items, msg_id) for s, msg_id in singles] == [
        ((items[0],), "in-1-7.s"),
        ((items[1],), "in-1-9.s"),
    ]
