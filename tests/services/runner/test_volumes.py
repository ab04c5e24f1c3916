"""Views of volumes on a runner: what containers see, commit and reload, and what they can't reach."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from squall_bus.layout import ensure_workspace
from squall_bus.testing import FakeBus, FakeServer
from squall_contracts import subjects
from squall_contracts.volumes import VolumeMount
from squall_runner.volumes import overlay
from squall_runner.volumes.mounted import Mounted
from squall_runner.volumes.trees import Trees
from squall_runner.volumes.view import Kind, take_down
from squall_volumes.errors import ViewOutOfReach, VolumeMissing
from squall_volumes.store import VolumeStore

from tests.volumes.crasher import contents

ACCOUNT = "A" * 56
LIMIT_BYTES = 1 << 40


class Machine:
    """A store, a cache, and views of one volume as containers have them."""

    def __init__(self, store: VolumeStore, folder: Path, kind: Kind) -> None:
        self.store = store
        self.folder = folder
        self.kind = kind
        self.trees = Trees(folder / "trees", LIMIT_BYTES)
        self.volume_id = ""
        self._made = 0

    async def start(self, **options: str | bool) -> Mounted:
        """A container's view of the volume."""
        if not self.volume_id:
            self.volume_id = (await self.store.create("main", "v")).volume_id
        mount = VolumeMount(path="/data", volume_id=self.volume_id, **options)  # type: ignore[arg-type]
        cached = await self.trees.get(self.store, ACCOUNT, self.volume_id, mount.sub_path)
        self._made += 1
        directory = self.folder / "slot" / "volumes" / str(self._made)
        return await Mounted.make(mount, directory, self.kind, cached, self.store)

    async def committed(self) -> dict[str, str]:
        """What a container that starts now finds."""
        fresh = await self.start()
        return contents(fresh.view.path)

    def close(self) -> None:
        take_down(self.folder / "slot")
        shutil.rmtree(self.folder)


@pytest.fixture(params=["overlay", "copy"])
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    kind: Kind = request.param
    folder = tmp_path / "m"
    folder.mkdir()
    if kind == "overlay" and not overlay.works(folder):
        pytest.skip("this process may not mount overlays")
    server = FakeServer()
    bus = FakeBus(server, inbox=subjects.inbox("runner"), publish=(">",), subscribe=(">",))
    await ensure_workspace(bus)
    made = Machine(VolumeStore(bus), folder, kind)
    yield made
    made.close()
    await bus.close()
    server.close()


def write(view: Mounted, path: str, text: str) -> None:
    place = view.view.path / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


async def test_what_one_container_commits_the_next_one_sees(machine: Machine) -> None:
    first = await machine.start()
    write(first, "nested/a.txt", "one")
    (first.view.path / "leer" / "ü").mkdir(parents=True)
    (first.view.path / "link").symlink_to("nested/a.txt")
    (first.view.path / "nested/a.txt").chmod(0o755)
    assert await first.commit(machine.store)
    assert not await first.commit(machine.store)
    second = await machine.start()
    assert contents(second.view.path) == contents(first.view.path)
    assert (second.view.path / "link").read_text() == "one"
    assert (second.view.path / "nested/a.txt").stat().st_mode & 0o777 == 0o755


async def test_a_container_changes_nothing_of_what_others_share(machine: Machine) -> None:
    first = await machine.start()
    write(first, "a", "one")
    write(first, "d/b", "two")
    await first.commit(machine.store)
    second, third = await machine.start(), await machine.start()
    with (second.view.path / "a").open("r+") as file:
        file.write("!!!")
    (second.view.path / "d/b").unlink()
    (second.view.path / "a").chmod(0o600)
    assert (third.view.path / "a").read_text() == "one"
    assert set(await machine.committed()) == {"a", "d", "d/b"}


async def test_removed_and_replaced_things_are_committed(machine: Machine) -> None:
    first = await machine.start()
    for path in ("gone/x", "gone/deep/y", "file", "swap/z", "again/old"):
        write(first, path, path)
    await first.commit(machine.store)
    second = await machine.start()
    root = second.view.path
    shutil.rmtree(root / "gone")
    (root / "file").unlink()
    (root / "file").mkdir()
    write(second, "file/inside", "now")
    shutil.rmtree(root / "swap")
    (root / "swap").write_text("a file")
    shutil.rmtree(root / "again")
    write(second, "again/new", "other")
    await second.commit(machine.store)
    assert await machine.committed() == contents(root)
    assert set(contents(root)) == {"file", "file/inside", "swap", "again", "again/new"}


async def test_different_files_of_two_containers_both_survive_and_the_last_of_one_wins(
    machine: Machine,
) -> None:
    first, second = await machine.start(), await machine.start()
    write(first, "mine", "1")
    write(first, "ours", "first")
    write(second, "yours", "2")
    write(second, "ours", "second")
    await asyncio.gather(first.commit(machine.store), asyncio.sleep(0))
    await second.commit(machine.store)
    third = await machine.start()
    assert {p.name: p.read_text() for p in third.view.path.iterdir()} == {
        "mine": "1",
        "yours": "2",
        "ours": "second",
    }


async def test_reload_shows_what_others_committed_and_keeps_what_was_written(
    machine: Machine,
) -> None:
    first = await machine.start()
    for name in ("stays", "goes", "changes"):
        write(first, name, name)
    await first.commit(machine.store)
    second = await machine.start()
    write(second, "own", "not committed")
    (first.view.path / "goes").unlink()
    write(first, "changes", "changed")
    write(first, "new/file", "new")
    await first.commit(machine.store)
    assert not (second.view.path / "new").exists()
    assert await second.reload(machine.store)
    names = {"stays", "changes", "new", "new/file", "own"}
    assert set(contents(second.view.path)) == names
    assert (second.view.path / "changes").read_text() == "changed"
    assert not await second.reload(machine.store)
    await second.commit(machine.store)
    assert await machine.committed() == contents(second.view.path)


async def test_a_commit_does_not_undo_what_was_not_reloaded(machine: Machine) -> None:
    first, second = await machine.start(), await machine.start()
    write(first, "a", "1")
    await first.commit(machine.store)
    write(second, "b", "2")
    await second.commit(machine.store)
    write(second, "c", "3")
    await second.commit(machine.store)
    assert set(await machine.committed()) == {"a", "b", "c"}


async def test_a_file_changed_within_one_tick_of_the_clock_is_committed_again(
    machine: Machine,
) -> None:
    view = await machine.start()
    for word in ("one", "two", "six"):
        write(view, "same-size", word)
        os.utime(view.view.path / "same-size", ns=(1, 1))
        await view.commit(machine.store)
    third = await machine.start()
    assert (third.view.path / "same-size").read_text() == "six"


async def test_part_of_a_volume_is_mounted_and_committed_as_that_part(machine: Machine) -> None:
    whole = await machine.start()
    write(whole, "models/small/w", "weights")
    write(whole, "other", "x")
    await whole.commit(machine.store)
    part = await machine.start(sub_path="models/small")
    assert set(contents(part.view.path)) == {"w"}
    write(part, "v", "more")
    await part.commit(machine.store)
    fresh = await machine.start(sub_path="fresh/place")
    write(fresh, "f", "made")
    await fresh.commit(machine.store)
    names = {"models", "models/small", "models/small/w", "models/small/v", "other"}
    assert set(await machine.committed()) == names | {"fresh", "fresh/place", "fresh/place/f"}


async def test_a_read_only_view_commits_nothing_but_reloads(machine: Machine) -> None:
    writer, reader = await machine.start(), await machine.start(read_only=True)
    write(writer, "a", "1")
    await writer.commit(machine.store)
    assert await reader.reload(machine.store)
    assert (reader.view.path / "a").read_text() == "1"
    assert not await reader.commit(machine.store)


async def test_a_restarted_runner_goes_on_with_a_view(machine: Machine) -> None:
    first = await machine.start()
    write(first, "a", "1")
    await first.commit(machine.store)
    write(first, "b", "2")
    again = Mounted.load(first.view.directory)
    assert await again.commit(machine.store)
    assert set(await machine.committed()) == {"a", "b"}


async def test_view_a_restarted_runner_does_not_see_loses_nothing_of_others(
    machine: Machine,
) -> None:
    """A runner in another mount namespace: its containers' overlays are no mounts to it."""
    if machine.kind != "overlay":
        pytest.skip("copies are directories to everybody")
    first, other = await machine.start(), await machine.start()
    write(first, "mine", "1")
    write(other, "theirs", "2")
    await other.commit(machine.store)
    overlay.unmount(first.view.path)
    again = Mounted.load(first.view.directory)
    with pytest.raises(ViewOutOfReach, match="/data"):
        await again.reload(machine.store)
    await again.commit(machine.store)
    assert set(await machine.committed()) == {"mine", "theirs"}


async def test_sockets_pipes_and_links_out_are_not_followed(machine: Machine) -> None:
    view = await machine.start()
    os.mkfifo(view.view.path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(view.view.path, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    (view.view.path / "out").symlink_to("/etc/passwd")
    await view.commit(machine.store)
    head, tree = await machine.store.newest(machine.volume_id)
    assert set(tree) == {"out"}
    assert tree["out"].target == "/etc/passwd"
    assert head.size_bytes == 0


async def test_a_deleted_volume_is_an_error_that_says_so(machine: Machine) -> None:
    view = await machine.start()
    write(view, "a", "1")
    await machine.store.delete("main", "v")
    with pytest.raises(VolumeMissing):
        await view.commit(machine.store)


async def test_cached_states_share_their_files_and_go_when_over_the_limit(
    machine: Machine,
) -> None:
    first = await machine.start()
    for number in range(600):
        write(first, f"{number}", str(number))
    await first.commit(machine.store)
    second = await machine.start()
    for number in range(599):
        write(second, f"{number}", "other")
    await second.commit(machine.store)
    third = await machine.start()
    assert third.lower != second.lower
    assert (third.lower / "599").stat().st_ino == (second.lower / "599").stat().st_ino
    machine.trees = small = Trees(machine.folder / "trees", limit_bytes=0)
    small.hold(third.lower)
    small.prune()
    assert third.lower.exists()
    assert not second.lower.exists()


# --- a volume against a plain directory -----------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "a/x", "a/y", "a/x/z", "ü"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "remove", "mkdir", "link", "commit", "crash", "reload", "start"]),
        NAMES,
        st.sampled_from(["1", "22", "333"]),
    ),
    max_size=25,
)


def clear(root: Path, path: str) -> None:
    place = root / path
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_dir():
        shutil.rmtree(place)


def make_room(root: Path, path: str) -> None:
    at = root
    for part in path.split("/")[:-1]:
        at /= part
        if at.is_symlink() or at.is_file():
            at.unlink()
        at.mkdir(exist_ok=True)
    clear(root, path)


def do(root: Path, action: str, path: str, text: str) -> None:
    """One change; the same on a view and on a plain directory."""
    if action == "remove":
        clear(root, path) if not any(p.is_symlink() for p in (root / path).parents) else None
        return
    make_room(root, path)
    place = root / path
    if action == "write":
        place.write_text(text)
    elif action == "mkdir":
        place.mkdir()
    elif action == "link":
        place.symlink_to(text)


async def follow(steps: list[tuple[str, str, str]], machine: Machine, plain: Path) -> None:
    """Do it all to a view and to a directory, which must stay alike; crashes lose no commit."""
    view = await machine.start()
    last: dict[str, str] = {}
    for action, path, text in steps:
        if action == "commit":
            await view.commit(machine.store)
            last = contents(plain)
        elif action == "crash":
            going = asyncio.create_task(view.commit(machine.store))
            for _ in range(len(text) * 4):
                await asyncio.sleep(0)
            going.cancel()
            await asyncio.wait([going])
            found = await machine.committed()
            assert found in (last, contents(plain))
            last = found
            view = Mounted.load(view.view.directory)
        elif action == "reload":
            await view.reload(machine.store)
        elif action == "start":
            await view.commit(machine.store)
            last = contents(plain)
            view = await machine.start()
        else:
            do(view.view.path, action, path, text)
            do(plain, action, path, text)
        assert contents(view.view.path) == contents(plain)
    assert await machine.committed() == last


def each_in_its_own(folder: Path, kind: Kind) -> Callable[[list[tuple[str, str, str]]], None]:
    async def run(steps: list[tuple[str, str, str]], place: Path) -> None:
        server = FakeServer()
        bus = FakeBus(server, inbox=subjects.inbox("r"), publish=(">",), subscribe=(">",))
        await ensure_workspace(bus)
        machine = Machine(VolumeStore(bus), place, kind)
        (place / "plain").mkdir()
        try:
            await follow(steps, machine, place / "plain")
        finally:
            machine.close()
            await bus.close()
            server.close()

    def check(steps: list[tuple[str, str, str]]) -> None:
        place = folder / "case"
        place.mkdir()
        asyncio.run(run(steps, place))

    return check


@pytest.mark.parametrize("kind", ["overlay", "copy"])
def test_a_volume_is_like_a_directory_whatever_crashes(tmp_path: Path, kind: Kind) -> None:
    if kind == "overlay" and not overlay.works(tmp_path / "probe"):
        pytest.skip("this process may not mount overlays")
    check = each_in_its_own(tmp_path, kind)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def run(steps: list[tuple[str, str, str]]) -> None:
        check(steps)

    run()
