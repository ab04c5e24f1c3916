"""A container made ready before it is asked for: imports and snap hooks first, then it waits.

Nothing is forked and nothing restored: the process that ran the hooks is the one that later runs
the inputs, so its threads, files and whatever else it opened are still its own.
"""

import logging
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from squall import _container
from squall_contracts.guest import Template
from squall_contracts.message import decode

from squall_guest import layout, load, report
from squall_guest.hooks import Home

FIRST_TO_GO: Final = "1000"
"""The kernel's score of what it kills first when memory is short: nobody needs this process yet."""
_log: Final = logging.getLogger("squall.guest")


class SnapshotFailed(Exception):  # noqa: N818 - it is named for what happened
    """Raised when user code can't be prepared; its cause is what user code raised."""


class Snapshot(NamedTuple):
    """User code with its imports and snap hooks behind it."""

    service: load.Service
    home: Home
    first_to_go: "FirstToGo"


class FirstToGo:
    """Until `withdraw`, this process and those it starts die first when memory is short."""

    def __init__(self) -> None:
        self._file = Path("/proc/self/oom_score_adj")
        try:
            self._before = self._file.read_text()
        except OSError as error:  # a sandboxed kernel: it has no such preferences
            self._before = ""
            _log.warning("not marked as the first to go: %s", error)
        else:
            self._mark(FIRST_TO_GO)

    def withdraw(self) -> None:
        if self._before:
            self._mark(self._before)

    def _mark(self, score: str) -> None:
        try:
            self._file.write_text(score)
        except OSError as error:
            _log.warning("its OOM score can't be %s: %s", score.strip(), error)


def take(path: str) -> Snapshot:
    """Do what the template at `path` says. SnapshotFailed, told at the template's failure path."""
    template = decode(Path(path).read_bytes(), Template)
    try:
        service, home = _prepared(template)
    except BaseException as error:  # user code's imports and hooks may raise anything
        failure = report.failure(error, "startup")
        said, trace = failure.message, failure.traceback
        if template.assignment.secrets:  # what user code raises may quote one: this goes to files
            said = trace = type(error).__name__
        Path(template.failure_path).write_text(said)
        raise SnapshotFailed(trace) from error
    return Snapshot(service, home, FirstToGo())


def _prepared(template: Template) -> tuple[load.Service, Home]:
    given = template.assignment
    layout.set_environment(given)
    given = msgspec.structs.replace(given, secrets={})
    layout.lay_files(given)
    layout.enter_root(given)
    _container.enter(given)
    if template.code is None:
        service = load.imported(given.spec)
    else:
        service = load.unpickled(given.spec, template.code)
    home = Home()
    for hook in service.snaps:
        home.call(hook)
    return service, home
