"""What the runner does for one sandbox while it lives: its time, its input, its readiness."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog
from squall_contracts.functions import FunctionSpec
from squall_contracts.placement import Ending
from squall_contracts.sandbox_spec import Probe

from squall_runner.runtime import RunnerError
from squall_runner.sandboxes import typing
from squall_runner.sandboxes.keeping import Keeping
from squall_runner.slots import Slot

log = structlog.get_logger()

PROBE_S: Final = 30.0
"""How long one look whether it is ready may take."""

Look = Callable[[Probe], Awaitable[bool]]
"""Whether a probe succeeds just now. RunnerError, TimeoutError: it doesn't."""
CloseInput = Callable[[], Awaitable[None]]


class Attended:
    """One sandbox. `attend` it while its container runs."""

    def __init__(self, spec: FunctionSpec, slot: Slot, look: Look, close_input: CloseInput) -> None:
        assert spec.sandbox is not None
        self.spec = spec.sandbox
        self.keeping = Keeping(spec, slot.record.begun_unix_s)
        self._slot = slot
        self._look = look
        self._close_input = close_input
        self._typing = asyncio.Lock()

    async def attend(
        self, ready: Callable[[], Awaitable[None]], end: Callable[[Ending, str], None]
    ) -> None:
        """Until cancelled: say once that its probe has succeeded, and have it end in time."""
        async with asyncio.TaskGroup() as group:
            looking = group.create_task(self._probe(ready))
            end(*await self.keeping.over())
            looking.cancel()

    async def give(self, at: int, data: bytes, *, eof: bool) -> int:
        """Type `data`, whose first byte is number `at`; how many bytes it has been given in all.
        OSError: its container is gone. RunnerError."""
        self.keeping.used()
        async with self._typing:
            given = self._slot.record.input_bytes
            if at > given:
                return given
            fresh = data[given - at :]
            if fresh:
                given += await typing.give(self._pipe, fresh)
                self._slot.note(input_bytes=given)
            if eof and given == at + len(data):
                self._slot.end_of_input.touch()
                await self._close_input()
        return given

    @property
    def _pipe(self) -> Path:
        return self._slot.input

    async def _probe(self, ready: Callable[[], Awaitable[None]]) -> None:
        probe = self.spec.probe
        while probe is not None:
            try:
                async with asyncio.timeout(PROBE_S):
                    if await self._look(probe):
                        break
            except (RunnerError, TimeoutError, OSError) as error:
                log.debug("sandbox.not_ready", slot=self._slot.name, error=str(error))
            await asyncio.sleep(probe.interval_s)
        if probe is not None:
            await ready()
