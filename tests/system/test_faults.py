"""Scenario 8 (a), (b), (c) and (f), and errors that cross the bus."""

import itertools
import time
import uuid

import pytest
import squall

from tests.system.conftest import Program


def key() -> str:
    return uuid.uuid4().hex


def test_only_the_success_is_seen_when_retries_suffice_and_the_gaps_grow(program: Program) -> None:
    times = program("faults").third_time_lucky.remote(key())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) == 3
    assert 0.9 < gaps[0] < 1.9
    assert 1.9 < gaps[1] < 2.9


def test_a_function_that_always_fails_is_tried_four_times_and_raises_once(program: Program) -> None:
    module = program("faults")
    with pytest.raises(Exception, match="custom failure 4") as caught:
        module.never.remote(key())
    assert type(caught.value).__name__ == "CustomError"
    assert getattr(caught.value, "code", None) == 4


def test_the_remote_frames_are_part_of_the_traceback(program: Program) -> None:
    with pytest.raises(Exception, match="custom failure") as caught:
        program("faults").never.remote(key())
    assert any("faults.py" in str(entry.path) for entry in caught.traceback)


def test_a_call_over_its_timeout_is_stopped_and_reported(program: Program) -> None:
    sleeps = program("faults").sleeps
    began = time.monotonic()
    with pytest.raises(squall.exception.FunctionTimeoutError):
        sleeps.remote(30)
    assert time.monotonic() - began < 20
    assert sleeps.remote(0) == "slept"


def test_a_container_that_always_dies_is_reported_with_its_cause(program: Program) -> None:
    with pytest.raises(squall.exception.Error, match=r"(?i)killed|exit code|signal"):
        program("faults").always_dies.remote()


def test_exiting_is_an_ordinary_failure(program: Program) -> None:
    faults = program("faults")
    with pytest.raises(squall.exception.RemoteError, match="SystemExit: 3"):
        faults.exits.remote()
    assert faults.sleeps.remote(0) == "slept"


def test_an_unpicklable_error_degrades_to_its_text(program: Program) -> None:
    with pytest.raises(squall.exception.Error, match="local trouble"):
        program("faults").unpicklable_error.remote()


def test_a_cancelled_call_tells_its_waiter_and_frees_its_container(program: Program) -> None:
    naps = program("faults").naps
    call = naps.spawn(60)
    call.cancel()
    with pytest.raises(squall.exception.RemoteError):
        call.get(timeout=60)
    assert naps.remote(0.0)[1] == 0.0


def test_get_with_a_timeout_raises_the_builtin_error(program: Program) -> None:
    call = program("faults").naps.spawn(3)
    with pytest.raises(TimeoutError):
        call.get(timeout=0)
    assert call.get(timeout=30)[1] == 3


def test_calls_to_a_stopped_app_end_with_an_error(program: Program) -> None:
    """Those that ran, those that waited, and those of whoever hasn't heard of it."""
    faults = program("faults")
    assert faults.naps.remote(0.0)[1] == 0.0
    calls = [faults.naps.spawn(60) for _ in range(4)]
    faults.app.stop()
    for call in calls:
        with pytest.raises(squall.exception.NotFoundError, match="stopped"):
            call.get(timeout=30)
    with pytest.raises(squall.exception.NotFoundError, match="stopped"):
        faults.naps.remote(0.0)
    with pytest.raises(squall.exception.NotFoundError, match="stopped"):
        list(faults.naps.map([0.0] * 3))
