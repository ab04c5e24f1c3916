"""Which failures leave a dead letter, and what it says."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.calls import Input, Inputs
from squall_contracts.dead import LONGEST_TRACEBACK, DeadLetter, Mourned, is_kept, letter
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.functions import RetryPolicy
from squall_contracts.message import decode, encode

kinds = st.sampled_from(get_args(FailureKind))
policies = st.sampled_from([None, RetryPolicy(max_retries=1)])
lanes = st.sampled_from(["now", "bulk"])
places = st.sampled_from(["reply.main.cl-1.fc-1", "result.main.cl-1.fc-1"])


@given(kinds, policies, lanes, places)
def test_what_is_cancelled_leaves_none_and_what_has_retries_or_killed_its_containers_always(
    kind: FailureKind, policy: RetryPolicy | None, lane: str, reply_to: str
) -> None:
    kept = is_kept(Failure(kind=kind, message="m"), policy, lane, reply_to)  # type: ignore[arg-type]
    if kind == "cancelled":
        assert not kept
    elif policy is not None or kind == "container_lost":
        assert kept
    else:
        assert kept == (lane == "now" and reply_to.startswith("result."))


def test_a_letter_has_the_input_and_the_error_but_no_pickled_exception() -> None:
    inputs = Inputs("fc-1", "reply.x", (Input(3, b"three"), Input(4, b"four")), attempt=2)
    failure = Failure(kind="exception", message="m", traceback="x" * 10**6, pickled=b"boom")
    function = Mourned("fn-1", "f", "ap-1", "app", "main", False)
    made = letter(inputs, 1, function, failure, 12.0)
    assert (made.letter_id, made.index, made.payload, made.attempts) == ("in-1-4", 4, b"four", 3)
    assert made.failure.pickled is None
    assert len(made.failure.traceback) == LONGEST_TRACEBACK
    assert decode(encode(made), DeadLetter) == made
