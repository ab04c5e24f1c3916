"""The server is killed and comes back in the middle of what volumes do: it is done all the same."""

import asyncio
import filecmp
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from squall_bus.bus import Bus
from squall_bus.errors import StoreTimeout
from squall_bus.tasks import within
from squall_contracts.volumes import VolumeHead
from squall_volumes.beneath import Beneath
from squall_volumes.download import lay
from squall_volumes.known import Known
from squall_volumes.model import BLOCK_BYTES, Entry
from squall_volumes.store import VolumeStore
from squall_volumes.upload import Upload

from tests.bus.natsd import NatsServer
from tests.volumes.test_store import source

BLOCKS = 24


@pytest.fixture
async def bus(natsd: NatsServer) -> AsyncIterator[Bus]:
    async with await natsd.connect("client") as connected:
        yield connected


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(BLOCKS * BLOCK_BYTES))
    return path


class Outage:
    """Kills the server when so much has happened, and starts it again."""

    def __init__(self, natsd: NatsServer, after: int) -> None:
        self._natsd = natsd
        self._left = after
        self._begins = asyncio.Event()

    def step(self) -> None:
        self._left -= 1
        if not self._left:
            self._begins.set()

    async def run(self) -> None:
        await self._begins.wait()
        self._natsd.stop()
        await self._natsd.start()


async def test_an_upload_and_a_download_go_on_where_the_server_was_killed(
    natsd: NatsServer, bus: Bus, large: Path, tmp_path: Path
) -> None:
    store = VolumeStore(bus)
    volume = (await store.create("main", "v")).volume_id
    outage = Outage(natsd, BLOCKS // 3)
    work = Upload(store.objects, Known(), progress=lambda _read, _sent: outage.step())
    async with asyncio.TaskGroup() as group:
        group.create_task(outage.run())
        reads = await within(60, work.files([source("large", large)]))
    await store.commit(volume, lambda _: {"large": reads["large"].entry})
    _, tree = await store.newest(volume)
    outage = Outage(natsd, BLOCKS // 3)
    (tmp_path / "got").mkdir()
    async with asyncio.TaskGroup() as group:
        group.create_task(outage.run())
        with Beneath(tmp_path / "got") as place:
            await within(
                60, lay(store.objects, tree, place, arrived=lambda _path, _size: outage.step())
            )
    assert filecmp.cmp(tmp_path / "got" / "large", large, shallow=False)


async def test_a_commit_waits_for_a_server_that_is_away(natsd: NatsServer, bus: Bus) -> None:
    store = VolumeStore(bus)
    volume = (await store.create("main", "v")).volume_id
    natsd.stop()
    committing = asyncio.create_task(store.commit(volume, lambda _: {"f": Entry("f", 0o644, 1)}))
    done, _ = await asyncio.wait([committing], timeout=1.0)
    assert not done
    await natsd.start()
    await within(30, committing)
    assert set((await store.newest(volume))[1]) == {"f"}


async def test_a_commit_whose_answer_was_lost_finds_itself_there(
    natsd: NatsServer, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = VolumeStore(bus)
    volume = (await store.create("main", "v")).volume_id
    update = store._heads.update
    calls = 0

    async def forgetful(key: str, value: VolumeHead, revision: int) -> int:
        nonlocal calls
        calls += 1
        written = await update(key, value, revision)
        if calls == 1:
            raise StoreTimeout(key, 0.0)
        return written

    monkeypatch.setattr(store._heads, "update", forgetful)
    done = await store.commit(volume, lambda _: {"f": Entry("f", 0o644, 1)})
    assert calls == 2
    head, tree = await store.newest(volume)
    assert (head, set(tree)) == (done.head, {"f"})
