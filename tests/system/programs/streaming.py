"""Scenario 4: generators, early and late readers, failures midway."""

import time
from collections.abc import Iterator

import squall

app = squall.App("streaming")


@app.function()
def generate_fibonacci(count: int) -> Iterator[dict[str, int]]:
    a, b = 0, 1
    for index in range(count):
        yield {"index": index, "value": a}
        a, b = b, a + b


@app.function()
def countdown(start: int) -> Iterator[int | str]:
    yield from range(start, 0, -1)
    yield "Liftoff!"


@app.function()
def slow_clock(ticks: int, pause_s: float) -> Iterator[float]:
    for _ in range(ticks):
        yield time.time()
        time.sleep(pause_s)


@app.function()
def breaks_after(count: int) -> Iterator[int]:
    yield from range(count)
    raise RuntimeError("broke on purpose")


@app.function()
def heavy(count: int, size: int) -> Iterator[bytes]:
    for index in range(count):
        yield bytes([index]) * size


@app.function()
def prints_json(x: int) -> int:
    print(5)
    print('{"a": 1}')
    return x
