import inspect
import pickle

import pytest
from squall import exception

ERRORS = [
    kind
    for _, kind in inspect.getmembers(exception, inspect.isclass)
    if issubclass(kind, BaseException)
]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_survives_pickling(kind: type[BaseException]) -> None:
    error = kind("what went wrong")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert copy.args == error.args


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_says_when_it_is_raised(kind: type[BaseException]) -> None:
    assert (kind.__doc__ or "").split()[0] in {"Raised", "Warns", "Wraps"}


def test_a_failed_build_keeps_its_data_when_pickled() -> None:
    error = exception.ImageBuildError("no", image_id="im-1", failed_step="RUN x", log_tail="end")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.image_id, copy.failed_step, copy.log_tail) == ("im-1", "RUN x", "end")


def test_names_that_look_like_builtins_are_not() -> None:
    assert not issubclass(exception.TimeoutError, TimeoutError)
    assert not issubclass(exception.ConnectionError, ConnectionError)
    assert issubclass(exception.FunctionTimeoutError, exception.TimeoutError)


def test_cancellation_passes_through_except_exception() -> None:
    assert not issubclass(exception.InputCancellation, Exception)
