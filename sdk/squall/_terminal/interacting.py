"""`interact()` and breakpoints: the running function's own input and output at the person's terminal."""

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from squall import _context, _sync
from squall._terminal.calling import Called, call

if TYPE_CHECKING:
    from types import FrameType

    from squall_terminals.attached import Attached

    from squall._context import Running

STANDARD: Final = (0, 1, 2)


class _Now:
    """The one conversation of this process."""

    lock = threading.Lock()
    talk: "_Talk | None" = None


class _Talk:
    """A pseudo-terminal in place of standard input, output and errors."""

    def __init__(self, owner: "Running | None", called: Called) -> None:
        from squall_contracts.terminals import Screen
        from squall_terminals.program import set_size

        self.owner = owner
        self._called = called
        master, slave = os.openpty()
        set_size(master, called.screen or Screen())
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._before = [os.dup(number) for number in STANDARD]
        for number in STANDARD:
            os.dup2(slave, number)
        os.close(slave)
        self._attached: Attached = _sync.run(self._attach(master))

    async def _attach(self, master: int) -> "Attached":
        from squall_terminals.attached import Attached
        from squall_terminals.serving import serve

        attached = Attached(master)
        self._serving = _sync.background(_drop(serve(attached, self._called.stream)))
        return attached

    def end(self) -> None:
        """Put back what was there, once all that was written is on its way."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, before in zip(STANDARD, self._before, strict=True):
            os.dup2(before, number)
            os.close(before)
        _sync.run(self._end())

    async def _end(self) -> None:
        self._attached.detach()
        await self._serving
        await self._called.line.close()


async def _drop(work: Any) -> None:
    await work


def interact(purpose: str = "") -> None:
    """Talk to the person who runs the app with `squall run --interactive`: until the input ends,
    `input()`, `print()` and debuggers use their terminal. Does nothing the second time.

    InvalidError outside a container, or when nobody runs the app interactively.
    ResourceExhaustedError: they talk to another container just now.
    """
    owner = _context.running.get()
    with _Now.lock:
        if _Now.talk is None:
            _Now.talk = _Talk(owner, _sync.run(call(purpose or "interact")))


def leave(owner: "Running") -> None:
    """An input has ended: its conversation with it."""
    with _Now.lock:
        talk = _Now.talk
        if talk is not None and talk.owner is owner:
            _Now.talk = None
            talk.end()


def breakpoint_hook(frame: "FrameType", *args: Any, **kwargs: Any) -> Any:
    """What `breakpoint()` in `frame` does in a container: a debugger at the person's terminal."""
    interact(f"breakpoint in {frame.f_code.co_name}:{frame.f_lineno}")
    if os.environ.get("PYTHONBREAKPOINT"):
        return sys.__breakpointhook__(*args, **kwargs)
    import pdb

    return pdb.Pdb().set_trace(frame)
