"""How long a sandbox lives: its lifetime, and the time it may be unused. Kept here, so that it ends in
time whatever became of everybody else."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from squall_contracts.functions import FunctionSpec
from squall_contracts.placement import Ending

from squall_runner.sandboxes import core


class Keeping:
    """Of one sandbox."""

    def __init__(self, spec: FunctionSpec, begun_unix_s: float) -> None:
        """`begun_unix_s`: when its command began, by this machine's clock."""
        assert spec.sandbox is not None
        self._timeout_s = spec.timeout_s
        self._idle_s = spec.sandbox.idle_timeout_s
        self._ends_s = time.monotonic() + begun_unix_s + spec.timeout_s - time.time()
        self._used_s = time.monotonic()
        self._users = 0
        self._changed = asyncio.Event()

    def used(self) -> None:
        """Somebody did something with it just now."""
        self._used_s = time.monotonic()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Somebody uses it while this lasts."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self.used()
            self._changed.set()

    async def over(self) -> tuple[Ending, str]:
        """Return once it must end, with the reason."""
        while True:
            now_s = time.monotonic()
            ending = core.over(
                now_s,
                ends_s=self._ends_s,
                idle_s=self._idle_s,
                used_s=self._used_s,
                users=self._users,
            )
            if ending is not None:
                return ending, self._reason(ending)
            again_s = core.look_again_s(
                ends_s=self._ends_s, idle_s=self._idle_s, used_s=self._used_s, users=self._users
            )
            self._changed.clear()
            try:
                async with asyncio.timeout(again_s - now_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _reason(self, ending: Ending) -> str:
        if ending == "timeout":
            return f"its timeout of {self._timeout_s:g} s is over"
        return f"nobody used it for {self._idle_s:g} s"
