"""Server-sent events: each reaches the client as soon as it was made.

squall run examples/17_streaming_endpoint.py
"""

import asyncio
import time
import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-streaming", image=image)

with image.imports():
    from fastapi.responses import StreamingResponse


@app.function()
@squall.concurrent(max_inputs=100)
@squall.fastapi_endpoint()
async def countdown(start: int = 3) -> Any:
    async def events() -> Any:
        for number in range(start, 0, -1):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)
        yield "data: Liftoff!\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.local_entrypoint()
def main(start: int = 3) -> None:
    came = []
    with urllib.request.urlopen(f"{countdown.get_web_url()}?start={start}") as answer:
        for line in filter(bytes.strip, answer):
            came.append(time.monotonic())
            print(line.decode().strip().removeprefix("data: "))
    print(f"one by one: {came[-1] - came[0] > 0.15 * start}")
