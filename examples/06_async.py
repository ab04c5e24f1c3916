"""Everything that waits has a twin under `.aio`, for programs that run on an event loop.

squall run examples/06_async.py
"""

import asyncio

import squall

app = squall.App("async")


@app.function()
async def slow_square(x: int) -> int:
    await asyncio.sleep(0.1)
    return x * x


@app.local_entrypoint()
async def main(count: int = 5) -> int:
    one, two = await asyncio.gather(slow_square.remote.aio(3), slow_square.remote.aio(4))
    print(f"3² + 4² = {one + two}")

    total = 0
    async for square in slow_square.map.aio(range(count)):
        total += square
    print(f"sum of {count} squares = {total}")

    call = await slow_square.spawn.aio(12)
    print(f"collected later: {await call.get.aio()}")
    return total
