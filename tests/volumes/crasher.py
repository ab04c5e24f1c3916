"""Writes below a view of a volume and commits, until it is killed: see test_crashes."""

import asyncio
import hashlib
import json
import random
import sys
from pathlib import Path

from squall_bus.connection import connect
from squall_contracts import subjects
from squall_contracts.guest import Credentials
from squall_contracts.volumes import VolumeMount
from squall_runner.volumes.mounted import Mounted
from squall_runner.volumes.trees import Cached
from squall_volumes.store import VolumeStore

OFTEN = 1_000


def contents(folder: Path) -> dict[str, str]:
    """What a directory holds: files by digest, links by target, directories by themselves."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link {path.readlink()}"
        elif path.is_dir():
            found[name] = "directory"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def change(folder: Path, chance: random.Random) -> None:
    """A few changes of all kinds, some to large files."""
    for _ in range(chance.randrange(1, 6)):
        name = folder / chance.choice("abcd") / chance.choice("wxyz")
        if name.parent.is_file() or name.parent.is_symlink():
            name.parent.unlink()
        name.parent.mkdir(exist_ok=True)
        if name.is_dir() and not name.is_symlink():
            name.rmdir()
        name.unlink(missing_ok=True)
        match chance.randrange(8):
            case 0:
                name.symlink_to(chance.choice("abcd"))
            case 1:
                name.mkdir()
            case 2:
                name.write_bytes(chance.randbytes(chance.randrange(300_000, 6_000_000)))
            case 3:
                continue
            case _:
                name.write_bytes(chance.randbytes(chance.randrange(5_000)))


async def main() -> None:
    url, jwt, seed, volume_id, place, number = sys.argv[1:]
    credentials = Credentials(jwt=jwt, seed=seed)
    bus = await connect([url], credentials, name="crasher", inbox=subjects.inbox("crasher"))
    store = VolumeStore(bus)
    directory = Path(place)
    if (directory / "record").exists():
        mounted = Mounted.load(directory)
    else:
        (directory.parent / "empty").mkdir()
        cached = Cached(directory.parent / "empty", {}, {}, {}, "")
        mount = VolumeMount(path="/data", volume_id=volume_id)
        mounted = await Mounted.make(mount, directory, "copy", cached, store)
    chance = random.Random(int(number))
    for _ in range(OFTEN):
        change(mounted.view.path, chance)
        print("committing", json.dumps(contents(mounted.view.path)), flush=True)
        await mounted.commit(store)
        print("committed", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
