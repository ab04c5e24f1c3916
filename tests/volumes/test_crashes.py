"""Killed at any moment, a volume is as its last commit left it, byte for byte.

SQUALL_CRASH_ROUNDS says how often: 10 by default, 200 to be thorough.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from squall_bus.tasks import within
from squall_contracts.volumes import VolumeHead
from squall_volumes.beneath import Beneath
from squall_volumes.download import lay
from squall_volumes.store import VolumeStore

from tests.bus.natsd import NatsServer
from tests.volumes.crasher import contents

ROUNDS = int(os.environ.get("SQUALL_CRASH_ROUNDS", "10"))
SLOWEST_S = 0.4


class Worker:
    """A process that changes and commits, and what it said of it."""

    def __init__(self, natsd: NatsServer, volume_id: str, place: Path, number: int) -> None:
        user = natsd.user(natsd.workspace)
        argv = [natsd.url, user.jwt, user.seed, volume_id, str(place), str(number)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.volumes.crasher", *argv],
            stdout=subprocess.PIPE,
            text=True,
        )

    async def first_commit(self) -> list[str]:
        """What it printed until it had committed once."""
        assert self._process.stdout is not None
        said: list[str] = []
        while "committed\n" not in said:
            line = await asyncio.to_thread(self._process.stdout.readline)
            assert line, "it ended by itself"
            said.append(line)
        return said

    def kill(self) -> list[str]:
        """What it printed since."""
        self._process.kill()
        rest, _ = self._process.communicate()
        return [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]


def possible(said: list[str]) -> list[dict[str, str]]:
    """What may be in the volume: the last commit that was told done, and one under way."""
    states: list[dict[str, str]] = []
    done: dict[str, str] = {}
    for line in said:
        word, _, state = line.partition(" ")
        if word == "committing":
            states.append(json.loads(state))
        else:
            done = states[-1]
    return [done] if states[-1] is done else [done, states[-1]]


async def downloaded(store: VolumeStore, volume_id: str) -> dict[str, str]:
    _, tree = await store.newest(volume_id)
    with tempfile.TemporaryDirectory() as place, Beneath(Path(place)) as target:
        await lay(store.objects, tree, target)
        return contents(Path(place))


async def test_a_killed_runner_leaves_the_last_commit(natsd: NatsServer, tmp_path: Path) -> None:
    async with await natsd.connect("reader") as bus:
        store = VolumeStore(bus)
        volume_id = (await store.create("main", "crash")).volume_id
        chance = random.Random(4)
        for number in range(ROUNDS):
            worker = Worker(natsd, volume_id, tmp_path / "view", number)
            said = await worker.first_commit()
            await asyncio.sleep(chance.uniform(0, SLOWEST_S))
            said += worker.kill()
            found = await downloaded(store, volume_id)
            assert found in possible(said), f"round {number}"


async def test_transfers_outlive_a_restart_of_the_server(natsd: NatsServer, tmp_path: Path) -> None:
    from tests.volumes.test_store import uploaded

    folder = tmp_path / "up"
    folder.mkdir()
    data = os.urandom(48 * 1024 * 1024)
    (folder / "large").write_bytes(data)
    async with await natsd.connect("client") as bus:
        store = VolumeStore(bus)
        volume = (await store.create("main", "restart")).volume_id

        async def restart_once_under_way() -> None:
            while not await store.objects.list("b/"):
                continue
            natsd.stop()
            await natsd.start()

        (entries, _), _ = await asyncio.gather(uploaded(store, folder), restart_once_under_way())
        done = await store.commit(volume, lambda _tree: entries)
        assert isinstance(done.head, VolumeHead)
        arrived = asyncio.Event()
        place = tmp_path / "down"
        place.mkdir()

        async def restart_again() -> None:
            await arrived.wait()
            natsd.stop()
            await natsd.start()

        with Beneath(place) as target:
            laying = lay(
                store.objects, done.tree, target, arrived=lambda _path, _size: arrived.set()
            )
            await within(60.0, asyncio.gather(laying, restart_again()))
        assert (place / "large").read_bytes() == data
