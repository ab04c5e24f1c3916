"""One container's life, told in order: prepare, start, watch, report its end, forget."""

import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import anyio
import msgspec
import structlog
from squall_contracts.apps import ExecFinished
from squall_contracts.logs import LogBatch
from squall_contracts.placement import (
    ContainerReport,
    ContainerState,
    Ending,
    StartContainer,
    StartPath,
)
from squall_contracts.terminals import Screen
from squall_contracts.usage import ContainerUsage
from squall_terminals.program import Program

from squall_runner import core
from squall_runner.buckets.desk import NONE, ContainerBuckets
from squall_runner.container_files.desk import ContainerFiles, FilesDesk
from squall_runner.flight import held_inputs
from squall_runner.logship import Shipper, system_line
from squall_runner.runtime import Exit, RunnerError, Runtime, StartRefused
from squall_runner.sandboxes.attended import Attended
from squall_runner.slots import Slot
from squall_runner.surely import surely
from squall_runner.volumes.desk import ContainerVolumes

log = structlog.get_logger()

OUTPUT_AFTER_END_S: Final = 30.0
"""How long an ended container's output may take to be stored before it is given up."""

COMMIT_FIRST_S: Final = 20.0
"""How long the report of an end waits for the last commit of volumes."""

LAST_WORDS_S: Final = 1.0
"""How long a report waits for the line of output that may say why a container failed."""

Report = Callable[[ContainerReport], Coroutine[Any, Any, None]]
StoreLogs = Callable[[StartContainer, LogBatch], Awaitable[None]]


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """How a container was started."""

    path: StartPath
    path_reason: str = ""
    phases_ms: dict[str, float] = {}
    at_unix_s: float = 0.0


class Container:
    """A started container. `watch` it until its end; `stop` it meanwhile."""

    def __init__(
        self,
        start: StartContainer,
        slot: Slot,
        *,
        runtime: Runtime,
        runner_id: str,
        report: Report,
        store_logs: StoreLogs,
        files: FilesDesk,
    ) -> None:
        self.start = start
        self.slot = slot
        self.gpus: tuple[int, ...] = ()
        self._runtime = runtime
        self._runner_id = runner_id
        self._report = report
        self._store_logs = store_logs
        self._files = files
        self._handle = ""
        self._kill_at_s: float | None = None
        self._stop_changed = anyio.Event()
        self.stop_reason: str | None = None
        self._to_tell: ContainerReport | None = None
        self.over = anyio.Event()
        """Set once its processes have ended."""
        self.volumes: ContainerVolumes | None = None
        """Of a container that has some mounted."""
        self.buckets: ContainerBuckets = NONE
        self.sandbox: Attended | None = None
        """Of a sandbox, once it runs."""
        self.secrets: dict[str, str] | None = None
        """Variables of a sandbox's secrets, for commands in it; None: not known yet."""
        self._ending: Ending = ""
        self._overfull = ""

    @property
    def handle(self) -> str:
        """What its runtime knows it by; empty: it has not started yet."""
        return self._handle

    def adopt(self) -> None:
        """Go on with what the slot remembers, after a restart of the runner."""
        record = self.slot.record
        self._handle, self.gpus, self.stop_reason = record.handle, record.gpus, record.stop_reason
        self._overfull = record.overfull
        if self.stop_reason is not None or self._overfull:
            self._end_by(anyio.current_time())
        self.sandbox = self._attended()

    def started(self, slot: Slot, handle: str, begun: Begun) -> None:
        """It runs, in `slot`: from here on `watch` must see it through."""
        self.slot, self._handle = slot, handle
        slot.remember(
            start=self.start,
            handle=handle,
            gpus=self.gpus,
            stop_reason=self.stop_reason,
            begun_unix_s=begun.at_unix_s,
        )
        self.sandbox = self._attended()
        self._to_tell = msgspec.structs.replace(
            self._told("starting" if self._boots else "ready"),
            at_unix_s=begun.at_unix_s,
            path=begun.path,
            path_reason=begun.path_reason,
            phases_ms=begun.phases_ms,
        )

    async def refused(self, reason: str) -> None:
        """It could not be started: tell the scheduler, in its log too."""
        shipper = self._shipper()
        shipper.close(system_line(time.time(), reason))
        async with anyio.create_task_group() as group:
            group.start_soon(self._report, self._told("failed", reason))
            with anyio.move_on_after(OUTPUT_AFTER_END_S):
                await shipper.run()

    def stop(self, reason: str, grace_s: float) -> None:
        """Have it end within `grace_s`; called again, the earlier time counts."""
        if self.stop_reason is None and not self._overfull:
            self.stop_reason = reason
            if self._handle:
                self.slot.remember(stop_reason=reason)
        self._end_by(anyio.current_time() + grace_s)

    def overfill(self, reason: str) -> None:
        """End it at once, as one that failed: it has written more than it may. Whatever it was told
        before stays the reason of its end."""
        if self.over.is_set():
            return
        if self.stop_reason is None and not self._overfull:
            log.warning("container.overfull", container_id=self.start.container_id, reason=reason)
            self._overfull = reason
            self.slot.remember(overfull=reason)
        self._end_by(anyio.current_time())

    def _end_by(self, at_s: float) -> None:
        self._kill_at_s = at_s if self._kill_at_s is None else min(at_s, self._kill_at_s)
        self._stop_changed.set()

    async def exec(self, argv: tuple[str, ...], timeout_s: float) -> ExecFinished:
        """Run a command in it. StartRefused, TimeoutError."""
        if not self._handle:
            raise StartRefused(f"container {self.start.container_id} has not started yet")
        env = core.environment(self.start)
        return await self._runtime.exec(self._handle, env, argv, timeout_s)

    async def program(
        self,
        argv: tuple[str, ...],
        screen: Screen | None,
        env: Mapping[str, str],
        workdir: str = "",
    ) -> Program:
        """Run a command in it, to be talked to, with `env` beside its own variables. StartRefused,
        RuntimeUnavailable."""
        if not self._handle:
            raise StartRefused(f"container {self.start.container_id} has not started yet")
        own = {**(self.secrets or {}), **core.environment(self.start)}
        if self.sandbox is not None:
            workdir = workdir or self.sandbox.spec.workdir
        return await self._runtime.program(self._handle, {**own, **env}, argv, screen, workdir)

    def used(self) -> None:
        """Somebody did something with it just now: a sandbox may end when nobody does."""
        if self.sandbox is not None:
            self.sandbox.keeping.used()

    def in_use(self) -> AbstractContextManager[None]:
        """Somebody uses it while this lasts."""
        return nullcontext() if self.sandbox is None else self.sandbox.keeping.in_use()

    async def usage(self) -> ContainerUsage:
        """What it uses just now. RunnerError."""
        if not self._handle:
            raise StartRefused(f"container {self.start.container_id} has not started yet")
        cpu_s, memory_bytes = await self._runtime.usage(self._handle)
        return ContainerUsage(
            container_id=self.start.container_id,
            cpu_s=cpu_s,
            memory_bytes=memory_bytes,
            at_unix_s=time.time(),
        )

    async def watch(self) -> None:
        """Return once it has ended and everything of it is told and gone."""
        with structlog.contextvars.bound_contextvars(container_id=self.start.container_id):
            shipper = self._shipper()
            async with anyio.create_task_group() as group:
                output = anyio.CancelScope()
                group.start_soon(self._ship, shipper, output)
                if self._to_tell is not None:
                    await self._report(self._to_tell)
                async with anyio.create_task_group() as stopping:
                    stopping.start_soon(self._obey)
                    if self.buckets:
                        stopping.start_soon(self._end_without_buckets)
                    if self.sandbox is not None:
                        stopping.start_soon(
                            self.sandbox.attend, self._tell_ready, self._end_in_time
                        )
                    if self.volumes:
                        stopping.start_soon(self.volumes.attend, self.start.container_id)
                    stopping.start_soon(self._files_of_it().attend)
                    ended = await self._runtime.wait(self._handle, self.slot.directory)
                    stopping.cancel_scope.cancel()
                self.over.set()
                self.gpus = ()  # before its end is told: whoever hears of it gives them to another
                output.deadline = anyio.current_time() + OUTPUT_AFTER_END_S
                silent = self.sandbox is None and self.stop_reason is None
                if silent and core.says_why(ended.code):
                    with anyio.move_on_after(LAST_WORDS_S):
                        await shipper.read.wait()
                await self._end(ended, shipper.last_words)
            await self._runtime.remove(self._handle)
            await self.buckets.discard()
            self.slot.forget()

    @property
    def _boots(self) -> bool:
        """Whether it is not ready yet when it begins: functions import, sandboxes may have a probe."""
        sandbox = self.start.spec.sandbox
        return sandbox is None or sandbox.probe is not None

    async def _tell_ready(self) -> None:
        await self._report(self._told("ready"))

    def _end_in_time(self, ending: Ending, reason: str) -> None:
        if self.stop_reason is None:
            self._ending = ending
        self.stop(reason, 0.0)

    def _attended(self) -> Attended | None:
        if self.start.spec.sandbox is None:
            return None

        return Attended(self.start.spec, self.slot, self._runtime, self._handle, self.exec)

    def _files_of_it(self) -> ContainerFiles:
        return ContainerFiles(
            self._files,
            account=self.start.workspace,
            container_id=self.start.container_id,
            handle=self._handle,
            directory=self.slot.directory,
            used=self.used,
        )

    async def _end_without_buckets(self) -> None:
        """A container whose bucket has gone can't work: its inputs are run again in another."""
        self.stop(await self.buckets.lost(), 0.0)

    async def _end(self, ended: Exit, last_words: str) -> None:
        """Commit what it left in volumes, and tell its end: that waits for the commit a while, so
        that whoever hears of the end finds the files, unless inputs wait to be run again."""
        if not self.volumes:
            await self._tell_end(ended, last_words)
            return
        async with anyio.create_task_group() as group:
            committed = anyio.Event()
            group.start_soon(self._leave_volumes, committed)
            if not held_inputs(self.slot.flight, self.start.function_id):
                with anyio.move_on_after(COMMIT_FIRST_S):
                    await committed.wait()
            await self._tell_end(ended, last_words)

    async def _leave_volumes(self, committed: anyio.Event) -> None:
        assert self.volumes is not None
        failures: list[str] = []
        await self.volumes.finish(failures.append)
        committed.set()
        for line in failures:
            await self._note(line)

    async def _note(self, line: str) -> None:
        """Put a line of ours into its log."""
        batch = LogBatch(
            container_id=self.start.container_id,
            function_id=self.start.function_id,
            function_name=self.start.spec.name,
            app_id=self.start.app_id,
            lines=(system_line(time.time(), line),),
        )

        async def store() -> None:
            await self._store_logs(self.start, batch)

        await surely("a note in a log", store)

    async def lost(self) -> None:
        """It ended while no runner watched, and nothing is left of it but its slot."""
        if self.volumes:
            await self._leave_volumes(anyio.Event())
        await self._tell_end(Exit(code=None))
        await self.buckets.discard()
        self.slot.forget()

    async def _tell_end(self, ended: Exit, last_words: str = "") -> None:
        verdict, ending = core.end_of(
            self.start.spec,
            ended.code,
            out_of_memory=ended.out_of_memory,
            stop_reason=self.stop_reason,
            overfull=self._overfull,
            last_words=last_words,
            ending=self._ending,
        )
        held = held_inputs(self.slot.flight, self.start.function_id)
        log.info("container.ended", state=verdict.state, reason=verdict.reason, held=len(held))
        await self._report(
            msgspec.structs.replace(
                self._told(verdict.state, verdict.reason),
                exit_code=ended.code,
                out_of_memory=ended.out_of_memory,
                held=held,
                ending=ending,
                overfull=bool(self._overfull),
            )
        )

    async def _obey(self) -> None:
        """SIGTERM once told to stop, SIGKILL when the grace is over."""
        while self._kill_at_s is None:
            await self._next_stop()
        if self._kill_at_s > anyio.current_time():
            await self._insist(self._runtime.terminate)
        while self._kill_at_s > anyio.current_time():
            with anyio.move_on_after(self._kill_at_s - anyio.current_time()):
                await self._next_stop()
        await self._insist(self._runtime.kill)

    async def _insist(self, end: Callable[[str], Awaitable[None]]) -> None:
        """Try until the runtime takes it; `watch` gives this up when the container has ended."""
        while True:
            try:
                await end(self._handle)
                return
            except RunnerError as error:
                log.warning("container.stop_delayed", error=str(error))
            await anyio.sleep(1.0)

    async def _next_stop(self) -> None:
        await self._stop_changed.wait()
        self._stop_changed = anyio.Event()

    async def _ship(self, shipper: Shipper, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as group:
                group.start_soon(shipper.run)
                try:
                    await self._runtime.output(
                        self._handle, self.slot.directory, self.slot.position(), shipper.add
                    )
                    shipper.close()
                except OSError as error:
                    log.error("logs.unreadable", error=str(error))
                    shipper.close(system_line(time.time(), f"output can't be read: {error}"))
        if scope.cancelled_caught:
            log.warning("logs.given_up")

    def _shipper(self) -> Shipper:
        async def store(batch: LogBatch) -> None:
            await self._store_logs(self.start, batch)

        return Shipper(self.start, store, self.slot.note_position)

    def _told(self, state: ContainerState, reason: str = "") -> ContainerReport:
        return ContainerReport(
            container_id=self.start.container_id,
            function_id=self.start.function_id,
            runner_id=self._runner_id,
            workspace=self.start.workspace,
            state=state,
            at_unix_s=time.time(),
            reason=reason,
        )
