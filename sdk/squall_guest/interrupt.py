"""Interrupting user code: an exception raised in the thread that runs it, wherever it stands."""

import ctypes
import signal
import threading
from types import FrameType
from typing import Literal, Protocol

from squall.exception import InputCancellation

Reason = Literal["timeout", "cancelled"]


class InputTimeout(BaseException):
    """Raised in a function whose time is up; not an `Exception`, which user code would swallow."""


ERRORS: dict[Reason, type[BaseException]] = {
    "timeout": InputTimeout,
    "cancelled": InputCancellation,
}


class Guard(Protocol):
    """Knows what runs on which thread, and raises there. `enter` and `leave` bracket user code."""

    def enter(self, run: object) -> None: ...

    def leave(self, run: object) -> None:
        """After this nothing is raised any more. If it is itself interrupted, call it again."""

    def throw(self, run: object, error: type[BaseException]) -> None:
        """Raise in `run` if it is still inside. From any thread."""

    def nudge(self) -> None:
        """Repeat what `throw` did, if nothing has come of it yet."""


class MainGuard:
    """For user code on the main thread: SIGUSR1, whose handler raises. It cuts sleeps short."""

    def __init__(self) -> None:
        """Call it in the main thread: it installs the handler."""
        self._inside: object | None = None
        self._thrown: tuple[object, type[BaseException]] | None = None
        self._thread = threading.main_thread().ident or 0
        signal.signal(signal.SIGUSR1, self._on_signal)

    def enter(self, run: object) -> None:
        self._inside = run

    def leave(self, run: object) -> None:
        self._inside = None

    def throw(self, run: object, error: type[BaseException]) -> None:
        self._thrown = (run, error)
        signal.pthread_kill(self._thread, signal.SIGUSR1)

    def nudge(self) -> None:
        # A signal that comes in the moment before the thread goes to sleep doesn't wake it.
        if self._thrown is not None:
            signal.pthread_kill(self._thread, signal.SIGUSR1)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        thrown, self._thrown = self._thrown, None
        if thrown is not None and thrown[0] is self._inside:
            self._inside = None
            raise thrown[1]


class ThreadGuard:
    """For user code on several threads: an asynchronous exception, raised between two bytecodes.
    A thread that sleeps or is inside C code gets it when it comes back."""

    def __init__(self) -> None:
        self._inside: dict[object, int] = {}
        self._lock = threading.Lock()

    def enter(self, run: object) -> None:
        with self._lock:
            self._inside[run] = threading.get_ident()

    def leave(self, run: object) -> None:
        with self._lock:
            thread = self._inside.pop(run, None)
            if thread is not None:
                _raise_in(thread, None)  # one not yet delivered would hit the guest itself

    def throw(self, run: object, error: type[BaseException]) -> None:
        with self._lock:
            thread = self._inside.get(run)
            if thread is not None:
                _raise_in(thread, error)

    def nudge(self) -> None:
        """Nothing to repeat: the exception stays with the thread."""


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    what = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
