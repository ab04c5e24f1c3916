"""Files of a running container, beside one message of that size there and back, and `docker cp`."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import squall
from nats.aio.client import Client
from nats.aio.msg import Msg
from squall._sandbox.filesystem import SandboxFilesystem

from tests.bench.figures import Figure, measured, quantile
from tests.bench.floor import Floor
from tests.bench.servers import Measured

SIZE = 1_000_000
ROUNDS = 60
WARM = 10


def where() -> str:
    """The id of the container this runs in."""
    return os.environ["SQUALL_TASK_ID"]


def docker_copy(container_id: str, folder: Path) -> float | None:
    """Seconds `docker cp` takes to write the file; None: there is no such container."""
    began = time.perf_counter()
    done = subprocess.run(
        ["docker", "cp", str(folder / "file"), f"squall-{container_id}:/root/copied"],
        capture_output=True,
        check=False,
    )
    return None if done.returncode else time.perf_counter() - began


async def there_and_back(client: Client, payload: bytes) -> float:
    """Seconds a message takes to who answers with the same."""
    began = time.perf_counter()
    await client.request("echo", payload, timeout=30)
    return time.perf_counter() - began


async def sandbox_files(bare: Floor, running: Measured) -> list[Figure]:
    """1 MB written and read."""
    payload, app = os.urandom(SIZE), squall.App("bench-files")
    function = app.function(name="where", serialized=True)(where)

    async def ready() -> None:
        """It runs."""

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await bare.client.subscribe("echo", cb=answer)
    async with app.run():
        container_id = str(await function.remote.aio())
        files = SandboxFilesystem(container_id, ready)
        writes, reads, bus = [], [], []
        for turn in range(ROUNDS + WARM):
            began = time.perf_counter()
            await files.write_bytes.aio(payload, "/root/file")
            written = time.perf_counter()
            assert len(await files.read_bytes.aio("/root/file")) == SIZE
            read = time.perf_counter()
            bare_s = await there_and_back(bare.client, payload)
            if turn >= WARM:
                writes.append(written - began)
                reads.append(read - written)
                bus.append(bare_s)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "file").write_bytes(payload)
            copies = [docker_copy(container_id, Path(folder)) for _ in range(5)]
    floors = {"a message of 1 MB there and back": quantile(bus, 0.5)}
    found = [each for each in copies if each is not None]
    if running.ready["runtime"] == "docker" and found:
        floors["docker cp"] = quantile(found, 0.5)
    return [
        measured(
            Figure(
                name=f"1 MB {what} a container, over {name}",
                unit="ms",
                value=quantile(ours, 0.5) * 1e3,
                floor=floor * 1e3,
                goal="<= 0.5" if name == "docker cp" else "",
            )
        )
        for name, floor in floors.items()
        for what, ours in (("written to", writes), ("read from", reads))
    ]
