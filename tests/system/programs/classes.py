"""Classes for the system tests: lifecycle, parameters, concurrency, batches, single use."""

import asyncio
import os
import time
from collections.abc import Iterator

import squall

app = squall.App("classes")


@app.cls(max_containers=1, timeout=60)
class Model:
    size: int = squall.parameter(default=2)

    @squall.enter()
    def load(self) -> None:
        self.loads = getattr(self, "loads", 0) + 1

    @squall.enter()
    async def warm(self) -> None:
        self.warmed_on = id(asyncio.get_running_loop())

    @squall.method()
    async def times(self, x: int) -> tuple[int, int, str, bool]:
        same = id(asyncio.get_running_loop()) == self.warmed_on
        return x * self.size, self.loads, os.environ["SQUALL_TASK_ID"], same

    @squall.method()
    def count(self) -> Iterator[int]:
        yield from range(self.size)


@app.cls()
class Leaver:
    name: str = squall.parameter()

    @squall.method()
    def stay(self) -> str:
        return self.name

    @squall.exit()
    async def leave(self) -> None:
        print(f"{self.name} left in order")


@app.cls(max_containers=1)
@squall.concurrent(max_inputs=4)
class Crowd:
    @squall.method()
    def wait(self, seconds: float) -> tuple[float, float]:
        began = time.time()
        time.sleep(seconds)
        return began, time.time()

    @squall.method()
    def nested(self) -> int:
        tripled: int = Model(size=3).times.remote(4)[0]  # type: ignore[call-arg]
        return tripled + len(self.wait.remote(0.0))


@app.function(max_containers=1)
@squall.batched(max_batch_size=4, wait_ms=500)
def in_batches(x: list[int]) -> list[tuple[int, int]]:
    return [(each * 10, len(x)) for each in x]


@app.function(max_containers=1)
@squall.batched(max_batch_size=4, wait_ms=200)
def short(x: list[int]) -> list[int]:
    return x[1:]


@app.function(single_use_containers=True)
def once() -> str:
    return os.environ["SQUALL_TASK_ID"]
