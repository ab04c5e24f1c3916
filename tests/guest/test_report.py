"""Exceptions as data."""

import sys
import threading

from squall import _pickling
from squall.exception import FunctionTimeoutError, InputCancellation
from squall_guest import report


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001
        return raised


def test_a_failure_names_the_cause_in_one_line() -> None:
    failure = report.failure(caught(ValueError("bad row\nsecond line")))
    assert failure.kind == "exception"
    assert failure.message == "ValueError: bad row"
    assert failure.exception_type == "ValueError"
    assert "in caught" in failure.traceback
    assert failure.pickled is not None
    assert str(_pickling.loads(failure.pickled)) == "bad row\nsecond line"


def test_guest_frames_are_not_shown_and_chained_errors_are() -> None:
    try:
        try:
            report.timed_out("x", None)  # type: ignore[arg-type]
        except ValueError as cause:
            raise KeyError("outer") from cause
    except KeyError as error:
        failure = report.failure(error)
    assert "squall_guest" not in failure.traceback.replace("tests/guest", "")
    assert "direct cause" in failure.traceback
    assert "test_report.py" in failure.traceback


def test_an_exception_whose_str_raises_is_still_reported() -> None:
    failure = report.failure(caught(Rude()))
    assert failure.message == "Rude: <its __str__ raised RuntimeError>"


def test_an_exception_that_cannot_be_pickled_goes_as_text() -> None:
    error = ValueError("held")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    failure = report.failure(caught(error))
    assert failure.pickled is None
    assert failure.message == "ValueError: held"


def test_huge_exceptions_are_cut_down() -> None:
    failure = report.failure(caught(ValueError("x" * 5_000_000)))
    assert len(failure.message) < 3_000
    assert len(failure.traceback) < 300_000
    assert failure.pickled is None


def test_a_timeout_shows_where_the_code_stood() -> None:
    failure = report.timed_out(2.0, caught(InputCancellation()))
    assert failure.kind == "timeout"
    assert failure.message == "FunctionTimeoutError: the input ran longer than its timeout of 2 s"
    assert "in caught" in failure.traceback
    assert failure.pickled is not None
    assert isinstance(_pickling.loads(failure.pickled), FunctionTimeoutError)


def test_code_that_never_yielded_is_shown_by_its_stack() -> None:
    failure = report.cancelled(sys._getframe())
    assert failure.kind == "cancelled"
    assert "test_code_that_never_yielded" in failure.traceback
    assert failure.traceback.endswith("InputCancellation: the call was cancelled\n")
