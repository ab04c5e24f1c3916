"""A server whose disk is full: it says so, loses nothing, and goes on once there is room."""

import asyncio
import hashlib
import os
from collections.abc import Iterator

import pytest
from squall._errors import of_bus
from squall.exception import ResourceExhaustedError
from squall_bus.bus import Bus
from squall_bus.errors import StorageOff
from squall_contracts import state_subjects

from tests.chaos.disks import Disk
from tests.services.server.conftest import Servers

BLOCK_BYTES = 1024 * 1024


@pytest.fixture
def disk(servers: Servers) -> Iterator[Disk]:
    """The one nats-server of the next server keeps its streams on."""
    try:
        found = Disk(servers.state / "nats")
    except RuntimeError:
        pytest.skip("this process may not mount a tmpfs")
    yield found
    servers.close()
    found.remove()


async def put(bus: Bus, name: str) -> str:
    data = os.urandom(BLOCK_BYTES)
    await bus.objects(state_subjects.VOLUMES_BUCKET).put(name, data)
    return hashlib.sha256(data).hexdigest()


async def test_server_whose_disk_was_full_goes_on_with_all_it_had_acknowledged(
    servers: Servers, disk: Disk
) -> None:
    server = servers.start().ready()
    async with await server.client() as bus:
        back = asyncio.Event()

        async def returned() -> None:
            back.set()

        bus.on_reconnect(returned)
        stored = {name: await put(bus, name) for name in ("b/1", "b/2", "b/3")}
        disk.fill()
        with pytest.raises(StorageOff, match="its disk is full"):
            await bus.store("$O.volumes.C.lost", os.urandom(BLOCK_BYTES // 2), timeout_s=2.0)
        with pytest.raises(StorageOff, match="its disk is full") as caught:
            await bus.store("$O.volumes.C.lost", b"", timeout_s=2.0)
        assert isinstance(of_bus(caught.value), ResourceExhaustedError)
        assert not back.is_set()
        disk.empty()
        await asyncio.wait_for(back.wait(), 60)
        objects = bus.objects(state_subjects.VOLUMES_BUCKET)
        for name, digest in stored.items():
            await objects.get(name, sha256=digest)
        await put(bus, "b/lost")
    server.process.terminate()
    _, said = server.process.communicate(timeout=60)
    assert "nats.disk_full" in said
    assert str(servers.state / "nats") in said
