"""One container, many inputs: waiting at the same time, or computed together.

squall run examples/08_batching_concurrency.py
"""

import asyncio
import time

import squall

app = squall.App("batching-concurrency")


@app.function(max_containers=1)
@squall.concurrent(max_inputs=10)
async def fetch(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


@app.function(max_containers=1)
@squall.batched(max_batch_size=4, wait_ms=500)
def measure(text: list[str]) -> list[tuple[int, int]]:
    return [(len(each), len(text)) for each in text]


@app.local_entrypoint()
def main() -> None:
    fetch.remote(0)  # the container is there from now on
    began = time.monotonic()
    waits = list(fetch.map([0.5] * 6))
    print(f"{len(waits)} waits of 0.5 s took less than 2 s: {time.monotonic() - began < 2}")

    measured = list(measure.map(["x" * n for n in range(1, 9)]))
    print(f"lengths: {[length for length, _ in measured]}")
    print(f"largest batch: {max(size for _, size in measured)}")
