"""How a command ends: its exit status and what a person reads when it failed.

0: done. 1: the user's code or something remote failed. 2: the command, a declaration or the
configuration is wrong. 130: interrupted.
"""

import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

from squall import exception
from squall._modal import spellings
from squall.cli.entry_args import UsageError

TRACEBACK_VARIABLE: Final = "SQUALL_TRACEBACK"
FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130

_CONFIGURATION: Final = (
    exception.InvalidError,
    exception.AuthError,
    exception.ConnectionError,
    exception.PermissionDeniedError,
    exception.VersionError,
)
_PACKAGE: Final = Path(exception.__file__).parent
_STDLIB: Final = Path(os.__file__).parent
_BETWEEN: Final = tuple(  # frames between the user's own
    str(path)
    for path in (
        _PACKAGE,
        _PACKAGE.parent / "squall_bus",
        _PACKAGE.parent / "squall_volumes",
        _PACKAGE.parents[1] / "contracts",
        *(_STDLIB / name for name in ("asyncio", "concurrent", "contextlib.py", "threading.py")),
        _STDLIB / "importlib",
    )
)

_LIBRARY: Final = re.compile(r"site-packages[/\\](typer|rich|nats|uvloop)[/\\]")
_REMEDIES: Final = {
    "No space left on device": "free some disk, or set SQUALL_STATE_DIR to a larger one",
    "insufficient resources": "free some disk, or set SQUALL_STATE_DIR to a larger one",
}
"""For failures of the machine itself, which reach us as they were worded where they happened."""


def guarded(work: Callable[[], int]) -> int:
    """Run a command; returns its status, and says in a line or a traceback why it failed."""
    warnings.formatwarning = spellings.plain_warning
    try:
        return work()
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, such as `head`: closing must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (UsageError, exception.Error) as error:
        return explain(error)
    except Exception as error:  # noqa: BLE001 - the outermost frame: everything ends as a status
        return explain(error)


def explain(error: BaseException) -> int:
    """Write to stderr what a person needs to mend `error`; returns the exit status it deserves."""
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        traceback.print_exception(error)
    elif isinstance(error, UsageError):
        say(str(error))
    elif isinstance(error, ModuleNotFoundError) and _is_remote(error):
        say(
            f"{one_line(error)}: the function's image lacks it: add it, "
            f"as in Image.debian_slim().pip_install({error.name!r})"
        )
    elif isinstance(error, exception.Error) and not _is_remote(error):
        _detail(error)
        say(one_line(error))
    else:
        sys.stderr.write(trimmed(error))
    return MISUSED if isinstance(error, (UsageError, *_CONFIGURATION)) else FAILED


def say(text: str) -> None:
    """One line to stderr that names the speaker."""
    sys.stderr.write(f"squall: {text}\n")
    sys.stderr.flush()


def one_line(error: BaseException) -> str:
    """`InvalidError: cpu must be … (job.py:12)`: the class, the message and the user's line."""
    place = _place(error)
    text = (str(error).strip().splitlines() or ["no further words"])[0]
    text += "".join(f": {remedy}" for words, remedy in _REMEDIES.items() if words in text)
    return f"{type(error).__name__}: {text}{f' ({place})' if place else ''}"


def trimmed(error: BaseException) -> str:
    """The traceback with the user's frames only; one line when none of them is the user's."""
    report = traceback.TracebackException.from_exception(error)
    if not _trim(report):
        return (
            f"squall: internal error: {one_line(error)}: "
            f"set {TRACEBACK_VARIABLE}=1 for the whole traceback and report it\n"
        )
    return "".join(report.format())


def _trim(report: traceback.TracebackException) -> bool:
    """Drop all frames but the user's, here and in what led to it; False when none is left."""
    users = [frame for frame in report.stack if _is_users(frame.filename)]
    report.stack = traceback.StackSummary.from_list(users)
    for earlier in (report.__cause__, report.__context__):
        if earlier is not None:
            _trim(earlier)
    return bool(users) or issubclass(report.exc_type or Exception, SyntaxError)


def _detail(error: BaseException) -> None:
    """What an error has to say after its first line, such as the end of a build's log."""
    _, _, rest = str(error).strip().partition("\n")
    if rest.strip():
        sys.stderr.write(f"{rest.strip(chr(10))}\n")


def _is_remote(error: BaseException) -> bool:
    """Whether it was raised in a container."""
    return any(
        frame.filename.startswith("<ct-") for frame in traceback.extract_tb(error.__traceback__)
    )


def _is_users(filename: str) -> bool:
    return not filename.startswith((*_BETWEEN, "<frozen")) and not _LIBRARY.search(filename)


def _place(error: BaseException) -> str:
    """`file:line` of the user's innermost frame on this machine; empty where there is none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_users(frame.filename) and not frame.filename.startswith("<"):
            path = Path(frame.filename)
            here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            return f"{here}:{frame.lineno}"
    return ""
