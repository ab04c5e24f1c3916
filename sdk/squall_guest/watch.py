"""The clock over user code: timeouts, interruptions not heeded, work that waits too long."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from squall_guest.desk import Desk, Held
from squall_guest.execute import Executor
from squall_guest.inputs import Run
from squall_guest.interrupt import Reason

PATIENCE_S: Final = 0.1
"""How long a delivery may hold all slots, or wait for one, before others should have what waits."""
GRACE_S: Final = 5.0
"""How long interrupted user code may take to end."""
NUDGE_S: Final = 0.25
"""How often an interruption is repeated that user code has not felt."""
_SOON_S: Final = 0.005


class Watch:
    """Looks when something can be due, not at intervals. Lives on the NATS thread."""

    def __init__(
        self,
        executor: Executor,
        desk: Desk,
        timeout_s: float,
        *,
        unfinished: Callable[[], int],
        on_stalled: Callable[[], None],
        on_stuck: Callable[[Run], None],
    ) -> None:
        """`on_stalled()`: what waits should be given back. `on_stuck(run)`: it does not yield."""
        self._executor = executor
        self._desk = desk
        self._timeout_s = timeout_s
        self._unfinished = unfinished
        self._on_stalled = on_stalled
        self._on_stuck = on_stuck
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        self._gave_up = False

    def queued(self) -> None:
        """Something was put on the desk."""
        self._look_at(time.monotonic() + PATIENCE_S)

    def cancel(self, held: Held) -> bool:
        """Interrupt `held` because its call was cancelled. False if it isn't being run."""
        ran = False
        for run in self._executor.runs():
            if run.is_of(held):
                ran = True
                self._interrupt(run, "cancelled", time.monotonic())
        return ran

    def _interrupt(self, run: Run, reason: Reason, now_s: float) -> None:
        if run.reason is None:
            run.interrupted_s = now_s
            run.reason = reason
            self._executor.interrupt(run)
            self._look_at(now_s + NUDGE_S)

    def _look_at(self, due_s: float) -> None:
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._due_s = due_s
        self._timer = self._loop.call_later(max(_SOON_S, due_s - time.monotonic()), self._look)

    def _look(self) -> None:
        self._timer = None
        now_s = time.monotonic()
        runs = self._executor.runs()
        for run in runs:
            self._enforce(run, now_s)
        due = [self._deadline(run) for run in runs]
        if any(run.reason is not None for run in runs):
            self._executor.nudge()
            due.append(now_s + NUDGE_S)
        waiting = self._desk.waiting()
        stalls = [held.queued_s + PATIENCE_S for held in waiting[:1] if held.queued_s is not None]
        if len(runs) >= self._executor.slots:
            stalls.append(max(run.since_s for run in runs) + PATIENCE_S)
            if min(stalls) <= now_s:
                self._on_stalled()
        future = [at for at in due + stalls if at > now_s]
        if future or self._unfinished():
            self._look_at(min(future, default=now_s + PATIENCE_S))

    def _deadline(self, run: Run) -> float:
        if run.reason is None:
            return run.began_s + self._timeout_s
        return run.interrupted_s + GRACE_S

    def _enforce(self, run: Run, now_s: float) -> None:
        if now_s < self._deadline(run):
            return
        if run.reason is None:
            self._interrupt(run, "timeout", now_s)
        elif not self._gave_up:
            self._gave_up = True
            self._on_stuck(run)
