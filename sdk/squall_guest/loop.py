"""Async functions as tasks of one loop that lives as long as the container; batches; and the sync
methods of classes that are partly async, on threads beside the loop."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, final

from squall_contracts.calls import Raised, Report

from squall_guest import batch, report
from squall_guest.desk import Desk, Held
from squall_guest.execute import Executor
from squall_guest.flight import FlightRecord
from squall_guest.hooks import Home
from squall_guest.inputs import Body, Run
from squall_guest.interrupt import ERRORS, ThreadGuard

if TYPE_CHECKING:
    from squall_guest.web.hosts import Hosts


@final
class Loop(Executor):
    """Runs deliveries, or batches of them, on the loop of the class's hooks."""

    def __init__(self, body: Body, desk: Desk, flight: FlightRecord, home: Home) -> None:
        super().__init__(body, desk, flight)
        self._home = home
        self._loop = home.loop
        self._free = list(range(self.slots - 1, -1, -1))
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._pumping = False
        self._stopping = asyncio.Event()
        self._batch = body.spec.batch
        self._arrived = asyncio.Event()
        self._hurried = False
        self._guard = ThreadGuard()
        self._threads = ThreadPoolExecutor(self.slots, "squall-input")

    def serve(self) -> None:
        self._home.run(self._work())

    def offered(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon_threadsafe(self._pump)

    def interrupt(self, run: Run) -> None:
        self._loop.call_soon_threadsafe(self._cancel, run)

    def hurry(self) -> None:
        self._hurried = True
        self._loop.call_soon_threadsafe(self._arrived.set)

    def stop(self) -> None:
        super().stop()
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._pump()
            await self._stopping.wait()
            for task in self._tasks.values():
                task.cancel()

    def _cancel(self, run: Run) -> None:
        if self._runs.get(run.slot) is not run:
            return
        if self.body.is_async(run.held):
            self._tasks[run.slot].cancel()
        elif run.reason is not None:
            self._guard.throw(run, ERRORS[run.reason])

    def _pump(self) -> None:
        self._pumping = False
        if self._group is None:
            return  # inputs came before `serve`, which looks for them itself
        self._arrived.set()
        while self._free and (held := self._desk.poll()) is not None:
            slot = self._free.pop()
            self._tasks[slot] = self._group.create_task(self._occupy(slot, held))

    async def _occupy(self, slot: int, held: Held) -> None:
        if self._batch is None:
            await self._deliver(held, slot)
        else:
            await self._deliver_batch(await self._collect(held, self._batch.wait_s), slot)
        room = self._outbox.crowded()
        if room is not None:
            await asyncio.wrap_future(room)
        del self._tasks[slot]
        self._free.append(slot)
        self._pump()

    async def _deliver(self, held: Held, slot: int) -> None:
        run: Run
        since_s = self.now()
        self._flight.note(slot, held.record(once=self.body.host(held) is not None))
        last = len(held.inputs.items) - 1
        for position in range(last + 1):
            run = self._begin(held, position, slot, since_s)
            host = self.body.host(held)
            if held.cancelled:
                outcome: Report | None = self._cancelled(held, position)
            elif host is not None:
                outcome = await self._served(host, run)
            elif self.body.is_async(held):
                outcome = await self.body.run_async(run)
            else:
                outcome = await self._threaded(self.body.run, run, self._guard)
            self._end(run)
            if position == last:
                self._flight.clear(slot)
            self._send(held, outcome, position, since_s)

    async def _served(self, host: "Hosts", run: Run) -> Report | None:
        """None: the one who asked knows how it ended."""
        try:
            await host.run(run)
        except Exception as error:  # noqa: BLE001 - told as any other failure of an input
            return Raised(run.held.inputs.items[run.position].index, report.failure(error))
        return None

    def _end(self, run: Run) -> None:
        self._runs.pop(run.slot, None)  # from here on `_cancel` leaves the task alone
        if run.reason is not None and self.body.is_async(run.held):
            self._tasks[run.slot].uncancel()

    async def _threaded(self, work: Any, *args: Any) -> Any:
        return await self._loop.run_in_executor(self._threads, work, *args)

    # --- batches ---------------------------------------------------------------------------------

    async def _collect(self, first: Held, wait_s: float) -> list[Held]:
        """`first`, and what comes until the batch is full or has waited long enough."""
        assert self._batch is not None
        members = [first]
        due_s = self._loop.time() + wait_s
        while len(members) < self._batch.max_size:
            held = self._desk.poll()
            if held is not None:
                members.append(held)
            elif self._hurried:
                break
            else:
                self._arrived.clear()
                try:
                    async with asyncio.timeout_at(due_s):
                        await self._arrived.wait()
                except TimeoutError:
                    break
        return members

    async def _deliver_batch(self, members: Sequence[Held], slot: int) -> None:
        since_s = self.now()
        for held in members:
            if held.cancelled:
                self._send(held, self._cancelled(held, 0), 0, since_s)
        live = tuple(held for held in members if not held.cancelled)
        if not live:
            return
        for at, held in enumerate(live):
            self._flight.note(at, held.record())
        run = self._begin(live[0], 0, slot, since_s)
        run.batch = live
        work: Coroutine[Any, Any, list[Report]]
        if self.body.is_async(live[0]):
            work = batch.run_async(self.body, run)
        else:
            work = self._threaded(batch.run, self.body, run, self._guard)
        outcomes = await work
        self._end(run)
        for at, (held, outcome) in enumerate(zip(live, outcomes, strict=True)):
            self._flight.clear(at)
            self._send(held, self._cancelled(held, 0) if held.cancelled else outcome, 0, since_s)
