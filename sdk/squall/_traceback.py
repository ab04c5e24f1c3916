"""A remote failure as a local exception: its own type, with the remote frames in its traceback."""

import asyncio
import linecache
import re
from types import CodeType, TracebackType

from squall_contracts.failures import Failure, FailureKind

from squall import _pickling
from squall.exception import (
    ContainerLostError,
    DeserializationError,
    Error,
    ExecutionError,
    FunctionTimeoutError,
    InternalFailure,
    NotFoundError,
    RemoteError,
    SerializationError,
)

_FRAME = re.compile(r'^  File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<name>.+))?$')
_CHAINED = ("The above exception was the direct cause", "During handling of the above exception")
_PLATFORM: dict[FailureKind, type[Error]] = {
    "timeout": FunctionTimeoutError,
    "cancelled": RemoteError,
    "container_lost": ContainerLostError,
    "startup": ExecutionError,
    "result": SerializationError,
    "arguments": DeserializationError,
    "internal": InternalFailure,
}
_NOT_RERAISED = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""Raised here they would end the caller's program or task, which nobody asked for."""


def to_exception(failure: Failure, container_id: str = "") -> BaseException:
    """The exception to raise for `failure`; frames' file names are prefixed with the container.

    User exceptions keep their type; one that couldn't be pickled becomes a SerializationError, one
    that can't be unpickled here an ExecutionError with the remote traceback in its text.
    """
    if failure.kind in {"exception", "startup"} and failure.pickled is not None:
        error = _unpickled(failure, failure.pickled)
    elif failure.kind == "exception":
        error = SerializationError(
            f"{failure.message} (raised remotely; the {failure.exception_type or 'exception'} "
            "itself could not be pickled)"
        )
    elif failure.kind == "startup" and failure.traceback:
        error = ExecutionError(f"{failure.message}\n\n{failure.traceback}".rstrip())
    elif failure.kind == "cancelled" and failure.exception_type == NotFoundError.__name__:
        error = NotFoundError(failure.message)
    else:
        kind = _PLATFORM.get(failure.kind, RemoteError)
        error = kind(failure.message.removeprefix(f"{kind.__name__}: "))
    return _with_frames(error, failure.traceback, container_id)


def _unpickled(failure: Failure, pickled: bytes) -> BaseException:
    try:
        error = _pickling.loads(pickled)
    except DeserializationError as cause:
        return ExecutionError(
            f"{failure.message} (raised remotely; {cause})\n\n{failure.traceback}".rstrip()
        )
    if not isinstance(error, BaseException):
        return ExecutionError(f"{failure.message} (raised remotely; not an exception: {error!r})")
    if isinstance(error, _NOT_RERAISED):
        return RemoteError(f"{type(error).__name__}: {error} (raised remotely)")
    return error


def _with_frames(error: BaseException, text: str, container_id: str) -> BaseException:
    if any(mark in text for mark in _CHAINED):
        error.add_note(f"\nRemote traceback with its causes:\n{text.rstrip()}")
    trace: TracebackType | None = None
    for file, line, name in reversed(_frames(text, container_id)):
        trace = _frame(file, line, name, trace)
    return error.with_traceback(trace)


def _frames(text: str, container_id: str) -> list[tuple[str, int, str]]:
    """(file, line, function) of the last traceback in `text`; remembers source lines it shows."""
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("Traceback (most recent")]
    found: list[tuple[str, int, str]] = []
    for at in range(starts[-1] + 1 if starts else len(lines), len(lines)):
        match = _FRAME.match(lines[at])
        if match is None:
            continue
        file = f"<{container_id or 'remote'}>:{match['file']}"
        number = int(match["line"])
        if at + 1 < len(lines) and lines[at + 1].startswith("    "):
            _remember(file, number, lines[at + 1].strip())
        found.append((file, number, match["name"] or "<module>"))
    return found


def _remember(file: str, number: int, source: str) -> None:
    """Let tracebacks show a line of a file that isn't here."""
    entry = linecache.cache.get(file)
    lines = list(entry[2]) if entry is not None and len(entry) == 4 else []
    lines += ["\n"] * (number - len(lines))
    lines[number - 1] = f"{source}\n"
    linecache.cache[file] = (len(lines), None, lines, file)


def _frame(file: str, line: int, name: str, inner: TracebackType | None) -> TracebackType:
    """A traceback entry for a frame that ran elsewhere: frames can't be made, only run."""
    code: CodeType = compile("raise RuntimeError", file, "exec").replace(
        co_name=name, co_qualname=name, co_firstlineno=line
    )
    try:
        exec(code, {"__name__": "remote"})
    except RuntimeError as error:
        own = error.__traceback__
        while own is not None and own.tb_frame.f_code is not code:
            own = own.tb_next
        if own is None:
            raise
        return TracebackType(inner, own.tb_frame, own.tb_lasti, line)
    raise AssertionError("unreachable: the code above always raises")
