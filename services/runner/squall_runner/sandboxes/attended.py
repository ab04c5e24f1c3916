"""What the runner does for one sandbox while it lives: its time, its input, its readiness."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from squall_contracts.apps import ExecFinished
from squall_contracts.functions import FunctionSpec
from squall_contracts.placement import Ending
from squall_contracts.sandbox_spec import Probe

from squall_runner.runtime import RunnerError, Runtime
from squall_runner.sandboxes import typing
from squall_runner.sandboxes.keeping import Keeping
from squall_runner.slots import Slot

log = structlog.get_logger()

PROBE_S: Final = 30.0
"""How long one look whether it is ready may take."""

Exec = Callable[[tuple[str, ...], float], Awaitable[ExecFinished]]
"""Run a command in it, for so many seconds at most. RunnerError, TimeoutError."""


class Attended:
    """One sandbox. `attend` it while its container runs."""

    def __init__(
        self, spec: FunctionSpec, slot: Slot, runtime: Runtime, handle: str, exec_: Exec
    ) -> None:
        assert spec.sandbox is not None
        self.spec = spec.sandbox
        self.keeping = Keeping(spec, slot.record.begun_unix_s)
        self._slot = slot
        self._runtime = runtime
        self._handle = handle
        self._exec = exec_
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
                given += await typing.give(self._slot.input, fresh)
                self._slot.remember(input_bytes=given)
            if eof and given == at + len(data):
                self._slot.end_of_input.touch()
                await self._runtime.end_input(self._handle)
        return given

    async def _probe(self, ready: Callable[[], Awaitable[None]]) -> None:
        probe = self.spec.probe
        while probe is not None:
            try:
                async with asyncio.timeout(PROBE_S):
                    if await self._succeeds(probe):
                        break
            except (RunnerError, TimeoutError, OSError) as error:
                log.debug("sandbox.not_ready", slot=self._slot.name, error=str(error))
            await asyncio.sleep(probe.interval_s)
        if probe is not None:
            await ready()

    async def _succeeds(self, probe: Probe) -> bool:
        if probe.port is not None:
            return await self._runtime.takes_connections(self._handle, probe.port)
        return (await self._exec(probe.argv, PROBE_S)).exit_code == 0
