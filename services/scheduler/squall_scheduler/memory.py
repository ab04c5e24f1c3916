"""What the scheduler remembers of failures, through its own restarts: functions whose containers
don't start, machines on which containers fail. In memory first, written behind.
"""

import asyncio
from collections.abc import Mapping

import msgspec
import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_contracts import subjects, version_subjects
from squall_contracts.functions import FunctionRecord

from squall_scheduler.brakes import Brake, BrakeLimits
from squall_scheduler.faults import StartFaults

log = structlog.get_logger()


class Remembered(msgspec.Struct, frozen=True):
    """A function's faults as they are stored: of the version that had them."""

    version: int
    faults: StartFaults


class Memory:
    """Faults by function and brakes by runner. What changed is marked until a `flush` has written it."""

    def __init__(self, bus: Bus, brake_limits: BrakeLimits) -> None:
        self._functions = bus.kv(version_subjects.FAULTS_BUCKET, Remembered)
        self._runners = bus.kv(version_subjects.FAULTS_BUCKET, Brake)
        self._brake_kept_s = brake_limits.within_s + brake_limits.rest_s
        self._of_functions: dict[str, Remembered] = {}
        self._brakes: dict[str, Brake] = {}
        self._marked_functions: set[str] = set()
        self._marked_runners: set[str] = set()
        self._writing = asyncio.Lock()

    async def restore(self, functions: Mapping[str, FunctionRecord]) -> None:
        """Read what was written; faults of functions that went, or are other code now, are dropped."""
        prefix = version_subjects.function_faults_key("x")[:-1]
        for key, found in (await self._functions.items(prefix)).items():
            function_id = subjects.last(key)
            self._of_functions[function_id] = found
            function = functions.get(function_id)
            if function is None or function.version != found.version:
                self.forget(function_id)
        prefix = version_subjects.runner_faults_key("x")[:-1]
        for key, brake in (await self._runners.items(prefix)).items():
            self._brakes[subjects.last(key)] = brake

    # --- functions -------------------------------------------------------------------------------

    def faults(self, function_id: str) -> StartFaults | None:
        found = self._of_functions.get(function_id)
        return None if found is None else found.faults

    def all_faults(self) -> dict[str, StartFaults]:
        return {name: found.faults for name, found in self._of_functions.items()}

    def note(self, function: FunctionRecord, faults: StartFaults) -> None:
        """A function's faults are these now."""
        self._of_functions[function.function_id] = Remembered(function.version, faults)
        self._marked_functions.add(function.function_id)

    def forget(self, function_id: str) -> bool:
        """A function has no faults any more. Whether it had."""
        if self._of_functions.pop(function_id, None) is None:
            return False
        self._marked_functions.add(function_id)
        return True

    # --- machines --------------------------------------------------------------------------------

    @property
    def brakes(self) -> Mapping[str, Brake]:
        return self._brakes

    def note_brake(self, runner_id: str, brake: Brake) -> None:
        """What containers came to on a machine is this now."""
        self._brakes[runner_id] = brake
        self._marked_runners.add(runner_id)

    # --- writing ---------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what is marked. BusError leaves it marked."""
        async with self._writing:
            for function_id in sorted(self._marked_functions):
                await self._write_function(function_id)
            for runner_id in sorted(self._marked_runners):
                brake = self._brakes[runner_id]
                key = version_subjects.runner_faults_key(runner_id)
                await self._runners.put(key, brake, ttl_s=self._brake_kept_s)
                if self._brakes[runner_id] is brake:
                    self._marked_runners.discard(runner_id)

    async def flush_quietly(self) -> bool:
        """The same; False if something has to be tried again."""
        try:
            await self.flush()
        except BusError as error:
            log.warning("faults.unwritten", error=str(error))
            return False
        return True

    async def _write_function(self, function_id: str) -> None:
        found = self._of_functions.get(function_id)
        key = version_subjects.function_faults_key(function_id)
        if found is None:
            await self._functions.delete(key)
        else:
            await self._functions.put(key, found)
        if self._of_functions.get(function_id) is found:
            self._marked_functions.discard(function_id)
