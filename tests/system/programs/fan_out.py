"""Scenario 3: spawning, gathering and mapping in parallel."""

import time

import squall

app = squall.App("fan-out")


@app.function(max_containers=3, min_containers=3)
def matrix_multiply(size: int) -> dict[str, int]:
    rows = [[(i * j) % 7 for j in range(size)] for i in range(size)]
    columns = list(zip(*rows, strict=True))
    total = sum(
        sum(a * b for a, b in zip(row, column, strict=True)) for row in rows for column in columns
    )
    time.sleep(size / 100)
    return {"size": size, "total": total}


@app.function()
def add(a: int, b: int) -> int:
    return a + b


@app.function(max_containers=2, min_containers=2)
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function()
def identity(x: int) -> int:
    return x


@app.function()
def odd_only(x: int) -> int:
    if x % 2 == 0:
        raise ValueError(f"{x} is even")
    return x
