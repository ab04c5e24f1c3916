"""Lines 40 to 45: retries."""

from pathlib import Path
from types import ModuleType

import pytest
import squall
from hypothesis import given
from hypothesis import strategies as st
from squall.exception import InvalidError, RemoteError
from squall_contracts.failures import Failure
from squall_contracts.functions import RetryPolicy
from squall_guest.retry import delay_s


def test_40_last_error_counts_when_all_tries_fail(parity: ModuleType, counted: str) -> None:
    with pytest.raises(ValueError, match="try 3"):
        parity.fails_until.remote(counted, 9)


def test_41_result_counts_when_a_try_succeeds(parity: ModuleType, counted: str) -> None:
    assert parity.fails_until.remote(counted, 2) == 2


def test_42_cancelled_calls_are_not_tried_again(parity: ModuleType, counted: str) -> None:
    call = parity.waits_to_be_cancelled.spawn(counted)
    _begun(counted)
    call.cancel()
    with pytest.raises(RemoteError):
        call.get()
    assert Path(counted).stat().st_size == 1


def _begun(path: str) -> None:
    from watchfiles import watch

    if not Path(path).exists():
        for _ in watch(Path(path).parent, rust_timeout=500, yield_on_timeout=True):
            if Path(path).exists():
                return


def test_43_inputs_of_lost_containers_run_again(parity: ModuleType, counted: str) -> None:
    assert parity.dies_once.remote(counted) == 2


@given(
    initial=st.floats(0, 60),
    coefficient=st.floats(1, 10),
    most=st.floats(1, 60),
    attempt=st.integers(0, 9),
)
def test_44_delay_grows_by_the_coefficient_within_its_bounds(
    initial: float, coefficient: float, most: float, attempt: int
) -> None:
    policy = RetryPolicy(
        max_retries=10, initial_delay_s=initial, backoff_coefficient=coefficient, max_delay_s=most
    )
    found = delay_s(policy, Failure(kind="exception", message="x"), attempt)
    assert found == max(1.0, min(initial * coefficient**attempt, most))
    assert delay_s(policy, Failure(kind="cancelled", message="x"), attempt) is None
    assert delay_s(policy, Failure(kind="timeout", message="x"), 10) is None
    with pytest.raises(InvalidError):
        squall.Retries(max_retries=1, backoff_coefficient=11)


def test_45_inputs_of_a_map_are_tried_again_one_by_one(parity: ModuleType, tmp_path: Path) -> None:
    files = [(str(tmp_path / str(number)), number) for number in (1, 2)]
    assert list(parity.fails_until.starmap(files)) == [1, 2]
