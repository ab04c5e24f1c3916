"""From an edit under `squall serve` to the request that runs the new code, beside the first version."""

import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.bench.figures import Figure, measured
from tests.bench.floor import Floor
from tests.bench.servers import Measured
from tests.system.conftest import PROGRAMS

EDITS = 8
PAUSE_S = 2.0
"""Between two edits: nobody types faster, and the next version's process is made meanwhile."""
CODE = (PROGRAMS / "edited.py").read_text()


async def editing(_: Floor, running: Measured) -> list[Figure]:
    """(i) The development loop."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edited.py"
        file.write_text(CODE.replace("WHICH", "0"))
        began = time.perf_counter()
        served = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "squall.cli", "serve", str(file),
            env={
                **os.environ,
                "SQUALL_SERVER_URL": running.ready["url"],
                "SQUALL_CREDENTIALS": running.ready["credentials"],
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert served.stdout is not None
        try:
            url = None
            while url is None:
                url = re.search(r"is at (https?://\S+)", (await served.stdout.readline()).decode())
            reading = asyncio.create_task(served.stdout.read())
            async with httpx.AsyncClient(timeout=60) as client:
                await _until(client, url[1], "this is 0")
                first_s = time.perf_counter() - began
                took = []
                for number in range(1, EDITS + 1):
                    await asyncio.sleep(PAUSE_S)
                    edited = time.perf_counter()
                    file.write_text(CODE.replace("WHICH", str(number)))
                    await _until(client, url[1], f"this is {number}")
                    took.append(time.perf_counter() - edited)
        finally:
            served.send_signal(signal.SIGINT)
            await served.wait()
        await reading
    figure = Figure(
        name="edit to the request that runs it, beside the first version",
        unit="s",
        value=statistics.median(took),
        floor=first_s,
        goal="<= 0.4",
    )
    return [measured(figure)]


async def _until(client: httpx.AsyncClient, url: str, text: str) -> None:
    while (await client.get(url)).text != text:
        continue
