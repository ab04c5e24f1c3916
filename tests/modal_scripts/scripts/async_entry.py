"""An async entrypoint: .aio everywhere."""

import asyncio

import modal

app = modal.App("async-entry")


@app.function()
async def fetch_length(name: str) -> int:
    await asyncio.sleep(0.05)
    return len(name)


@app.local_entrypoint()
async def main():
    names = ["ada", "grace", "barbara"]
    together = await asyncio.gather(*[fetch_length.remote.aio(name) for name in names])
    print("gathered", together)
    print("mapped", [length async for length in fetch_length.map.aio(names)])
    call = await fetch_length.spawn.aio("margaret")
    print("spawned", await call.get.aio())
