"""`python -m tests.guest.bench`: what the guest adds to a bare loop of pull, publish and ack."""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import uvloop
from squall import _pickling
from squall_bus.bus import Delivery
from squall_bus.connection import connect
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import subjects
from squall_contracts.calls import Input, Inputs, Results, Returned
from squall_contracts.guest import Assignment
from squall_contracts.message import decode, encode, new_id

from tests.bus.natsd import NatsServer
from tests.guest.rig import ENVIRONMENT, Function, Rig

SEQUENTIAL = 2_000
PIPELINED = 20_000
ROUNDS = 3


async def bare(path: str) -> None:
    """The floor: no user code, no threads, nothing but the bus."""
    given = decode(await asyncio.to_thread(Path(path).read_bytes), Assignment)
    bus = await connect(
        given.servers, given.guest, name="bare", inbox=subjects.inbox(given.container_id)
    )

    def on_job(job: Job) -> None:
        inputs = decode(job.data, Inputs)
        item = inputs.items[0]
        assert isinstance(item.payload, bytes)
        results = Results(inputs.call_id, "bare", (Returned(item.index, item.payload),))
        stored = bus.store_soon(inputs.reply_to, results, on_stored=lambda _: void(job.ack()))
        # Never waits: what is here has room in the window. A task each would cost what we measure.
        with suppress(StopIteration):
            stored.send(None)

    for lane in subjects.LANES:
        durable = subjects.consumer(given.function_id, lane)
        await StandingPull(bus, subjects.CALLS, durable, on_job, batch=512).start()
    await bus.wait_closed()


def void(_: object) -> None:
    pass


class Driver:
    def __init__(self, rig: Rig, function: Function) -> None:
        self.rig = rig
        self.client = new_id("cl")
        self.function = function
        self.left = 0
        self.done = asyncio.Event()

    async def open(self) -> None:
        reply, _ = subjects.replies_to(ENVIRONMENT, self.client)
        await self.rig.bus.subscribe(reply, self.on_results)

    def on_results(self, delivery: Delivery) -> None:
        self.left -= len(decode(delivery.data, Results).items)
        if self.left <= 0:
            self.done.set()

    def message(self, call_id: str, index: int) -> Inputs:
        payload = _pickling.dumps(((), {}))
        reply_to = subjects.reply(ENVIRONMENT, self.client, call_id)
        return Inputs(call_id, reply_to, (Input(index, payload),))

    async def one(self) -> float:
        call_id = new_id("fc")
        subject = subjects.call(ENVIRONMENT, self.function.function_id, "now", call_id)
        self.left = 1
        self.done.clear()
        began = time.perf_counter()
        await self.rig.bus.store_soon(subject, self.message(call_id, 0), msg_id=f"{call_id}.0")
        await self.done.wait()
        return time.perf_counter() - began

    async def many(self, count: int) -> float:
        call_id = new_id("fc")
        subject = subjects.call(ENVIRONMENT, self.function.function_id, "bulk", call_id)
        self.left = count
        self.done.clear()
        began = time.perf_counter()
        for index in range(count):
            message = self.message(call_id, index)
            await self.rig.bus.store_soon(subject, message, msg_id=f"{call_id}.{index}.0")
        await self.done.wait()
        return count / (time.perf_counter() - began)


class Figures:
    """What one way of running measured, round by round."""

    def __init__(self, name: str, driver: Driver) -> None:
        self.name = name
        self.driver = driver
        self.times: list[float] = []
        self.rates: list[float] = []

    async def round(self) -> None:
        await self.driver.many(500)
        self.times += [await self.driver.one() for _ in range(SEQUENTIAL // ROUNDS)]
        self.rates.append(await self.driver.many(PIPELINED))

    def line(self) -> str:
        times = sorted(self.times)
        p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
        rate = statistics.median(self.rates)
        return f"{self.name:11} p50 {p50:.3f} ms  p99 {p99:.3f} ms  {rate:,.0f} inputs/s"


async def start_bare(rig: Rig, function: Function) -> "asyncio.subprocess.Process":
    folder = Path(tempfile.mkdtemp())
    (folder / "assignment").write_bytes(encode(rig.assignment(function, folder)))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.guest.bench", str(folder / "assignment")
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = NatsServer(Path(folder))
        await server.start()
        rig = Rig(server, Path(folder))
        await rig.open()
        process = None
        try:
            figures = []
            for qualname, is_async in (("noop", False), ("noop_async", True)):
                function = await rig.function(qualname, is_async=is_async)
                await function.guest()
                figures.append(Figures(qualname, Driver(rig, function)))
            function = await rig.function("noop")
            process = await start_bare(rig, function)
            figures.append(Figures("bare", Driver(rig, function)))
            for figure in figures:
                await figure.driver.open()
            for _ in range(ROUNDS):  # interleaved: the machine's mood meets all alike
                for figure in figures:
                    await figure.round()
            print("\n".join(figure.line() for figure in figures))
        finally:
            if process is not None:
                process.terminate()
                await process.wait()
            await rig.close()
            server.close()


if __name__ == "__main__":
    uvloop.run(bare(sys.argv[1]) if len(sys.argv) > 1 else main())
