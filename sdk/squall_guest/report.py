"""What went wrong, as data: one line, the user's part of the traceback, the pickled exception."""

import importlib
import os
import traceback
from pathlib import Path
from types import FrameType

from squall import _pickling
from squall.exception import FunctionTimeoutError, InputCancellation
from squall_contracts.calls import INLINE_LIMIT_BYTES
from squall_contracts.failures import Failure, FailureKind

_OURS = (f"{Path(__file__).parent}{os.sep}", "<frozen importlib", importlib.__file__)
"""Prefixes of file names whose frames say nothing to users."""
_LONGEST_MESSAGE = 2_000
_LONGEST_TRACEBACK = 256 * 1024


def failure(error: BaseException, kind: FailureKind = "exception") -> Failure:
    """`error` as a Failure. Never raises: what can't be rendered or pickled is left out."""
    return Failure(
        kind=kind,
        message=_one_line(error),
        exception_type=_name_of(type(error)),
        traceback=_trimmed(error),
        pickled=_pickled(error),
    )


def timed_out(limit_s: float, where: BaseException | FrameType | None) -> Failure:
    """The input ran longer than `limit_s`; `where` shows what it was doing."""
    error = FunctionTimeoutError(f"the input ran longer than its timeout of {limit_s:g} s")
    return _interrupted("timeout", error, where)


def cancelled(where: BaseException | FrameType | None) -> Failure:
    """The input's call was cancelled."""
    return _interrupted("cancelled", InputCancellation("the call was cancelled"), where)


def _interrupted(
    kind: FailureKind, error: BaseException, where: BaseException | FrameType | None
) -> Failure:
    if isinstance(where, BaseException):
        error = error.with_traceback(where.__traceback__)
    made = failure(error, kind)
    if isinstance(where, FrameType):
        frames = [f for f in traceback.extract_stack(where) if not f.filename.startswith(_OURS)]
        text = "".join(["Traceback (most recent call last):\n", *traceback.format_list(frames)])
        return Failure(
            kind=kind,
            message=made.message,
            exception_type=made.exception_type,
            traceback=text + made.message + "\n",
            pickled=made.pickled,
        )
    return made


def _name_of(kind: type[BaseException]) -> str:
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _one_line(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001 - user code's __str__ may raise anything
        text = f"<its __str__ raised {type(fault).__name__}>"
    line = text.strip().partition("\n")[0][:_LONGEST_MESSAGE]
    name = type(error).__name__
    return f"{name}: {line}" if line else name


def _trimmed(error: BaseException) -> str:
    try:
        story = traceback.TracebackException.from_exception(error)
        _drop_our_frames(story, set())
        text = "".join(story.format())
    except Exception as fault:  # noqa: BLE001 - rendering runs user code
        return f"{_one_line(error)}\n(its traceback can't be shown: {_one_line(fault)})\n"
    if len(text) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
    return text


def _drop_our_frames(story: traceback.TracebackException, seen: set[int]) -> None:
    if id(story) in seen:
        return
    seen.add(id(story))
    story.stack[:] = [f for f in story.stack if not f.filename.startswith(_OURS)]
    others = [story.__cause__, story.__context__, *(getattr(story, "exceptions", None) or ())]
    for other in others:
        if other is not None:
            _drop_our_frames(other, seen)


def _pickled(error: BaseException) -> bytes | None:
    """None where it can't be pickled, is too large, or does not come back from its pickle."""
    try:
        data = _pickling.dumps(error)
        if len(data) > INLINE_LIMIT_BYTES:
            return None
        _pickling.loads(data)
    except Exception:  # noqa: BLE001 - user code's pickling may raise anything; None says so
        return None
    return data
