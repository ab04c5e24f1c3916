"""The runner's parts that need neither a runtime nor a server."""

import os
import platform
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_bus.errors import ObjectMissing, StoreTimeout
from squall_bus.settings import SettingsError, read_settings
from squall_contracts.functions import FileEntry
from squall_contracts.guest import FLIGHT_RECORD_BYTES, FLIGHT_SLOT_BYTES
from squall_contracts.logs import LogBatch
from squall_contracts.message import encode, new_id
from squall_contracts.placement import HeldInput
from squall_guard import owner, sandbox_image
from squall_runner import machine, prepare
from squall_runner.docker_output import Position
from squall_runner.files import Files
from squall_runner.flight import held_inputs, read_slots
from squall_runner.logship import LINE_BYTES, Lines, Shipper
from squall_runner.runtime import Piece, StartRefused
from squall_runner.settings import Settings
from squall_runner.site import OWN_VERSION, Sites, dependencies
from squall_runner.slots import Slots

from .test_core import start

FUNCTION = "fn-" + "f" * 22


def held(n: int = 0, function: str = FUNCTION, reply_to: str = "reply.main.cl.fc") -> HeldInput:
    return HeldInput(
        ack_subject=f"$JS.ACK.CALLS.{function}_now.1.{n}.1.1.0",
        call_id=f"fc-{n}",
        reply_to=reply_to,
        indexes=(n,),
    )


def slot(note: bytes) -> bytes:
    return (len(note).to_bytes(2, "big") + note).ljust(FLIGHT_SLOT_BYTES, b"\0")


# --- flight record ------------------------------------------------------------------------------


@given(st.binary(max_size=4 * FLIGHT_SLOT_BYTES))
def test_no_flight_record_breaks_the_reader(data: bytes) -> None:
    assert all(isinstance(item, HeldInput) for item in read_slots(data, FUNCTION))


def test_flight_record_gives_the_notes_of_this_function_alone() -> None:
    notes = (
        slot(encode(held(1)))
        + slot(b"")
        + slot(encode(held(2, function="fn-other")))
        + slot(encode(held(3, reply_to="up.api.stop")))
        + slot(encode(held(4))[:-3])
        + slot(encode(held(5)))
    )
    assert [item.call_id for item in read_slots(notes, FUNCTION)] == ["fc-1", "fc-5"]


def test_guest_and_runner_agree_on_the_flight_record(tmp_path: Path) -> None:
    from squall_guest.flight import FlightRecord

    path = tmp_path / "flight"
    record = FlightRecord(str(path))
    record.note(0, held(7))
    record.note(3, held(8))
    record.clear(0)
    assert path.stat().st_size == FLIGHT_RECORD_BYTES
    assert held_inputs(path, FUNCTION) == (held(8),)
    assert held_inputs(tmp_path / "none", FUNCTION) == ()


# --- output -------------------------------------------------------------------------------------


def piece(data: bytes, position: str = "", at: float = 1.0) -> Piece:
    return Piece(source="stdout", at_unix_s=at, data=data, position=position)


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\r", b""))))
def test_lines_keep_every_byte(chunks: list[bytes]) -> None:
    lines = Lines()
    texts = [line.text for chunk in chunks for line in lines.add(piece(chunk))]
    rest = [line.text for line in lines.rest(1.0)]
    whole = b"".join(chunks).decode(errors="replace").split("\n")
    assert texts + (rest or [""]) == whole


def test_long_lines_are_cut() -> None:
    lines = Lines()
    made = lines.add(piece(b"x" * (3 * LINE_BYTES + 5) + b"\n"))
    assert [len(line.text) for line in made] == [LINE_BYTES] * 3 + [5]
    held_back = lines.add(piece(b"y" * (2 * LINE_BYTES + 5)))
    assert [len(line.text) for line in held_back] == [LINE_BYTES] * 2


async def test_shipper_batches_while_a_batch_is_stored() -> None:
    import anyio

    batches: list[LogBatch] = []
    positions: list[str] = []
    storing, go_on = anyio.Event(), anyio.Event()

    async def store(batch: LogBatch) -> None:
        batches.append(batch)
        storing.set()
        await go_on.wait()

    shipper = Shipper(start(), store, positions.append)
    async with anyio.create_task_group() as group:
        group.start_soon(shipper.run)
        await shipper.add(piece(b"0\n", "p0"))
        await storing.wait()
        for n in range(1, 100):
            await shipper.add(piece(b"%d\n" % n, f"p{n}"))
        go_on.set()
        shipper.close()
    assert [len(batch.lines) for batch in batches] == [1, 99]
    assert [batch.closed for batch in batches] == [False, True]
    assert [line.text for batch in batches for line in batch.lines] == [str(n) for n in range(100)]


async def test_shipper_tries_until_a_batch_is_stored() -> None:
    tries: list[LogBatch] = []

    async def store(batch: LogBatch) -> None:
        tries.append(batch)
        if len(tries) < 2:
            raise StoreTimeout("log.x", 1.0)

    shipper = Shipper(start(), store, lambda _: None)
    await shipper.add(piece(b"last words"))
    shipper.close()
    await shipper.run()
    assert len(tries) == 2
    assert tries[0] == tries[1]
    assert tries[1].closed


def test_position_is_kept_for_each_source() -> None:
    early, late = "2026-01-01T00:00:00.000000001Z", "2026-01-01T00:00:01.500000000Z"
    position = Position("")
    assert position.since == ""
    assert position.passes("stdout", late)
    assert position.passes("stderr", early)
    again = Position(str(position))
    assert again.since == "1767225600.000000001"
    assert not again.passes("stdout", early)
    assert not again.passes("stderr", early)
    assert again.passes("stderr", late)


# --- files --------------------------------------------------------------------------------------


def entry(path: str, content: bytes = b"x", mode: int = 0o644) -> FileEntry:
    import hashlib

    digest = hashlib.sha256(content).hexdigest()
    return FileEntry(path=path, sha256=digest, size_bytes=len(content), mode=mode)


@pytest.mark.parametrize("linked", [True, False])
async def test_files_are_fetched_once_and_laid_with_their_modes(
    tmp_path: Path, linked: bool
) -> None:
    fetched: list[str] = []

    async def fetch(digest: str) -> bytes:
        fetched.append(digest)
        return b"x"

    files = Files(tmp_path / "cache", linked=linked, limit_bytes=1 << 20)
    entries = [entry("/root/a.py"), entry("/root/pkg/b.py"), entry("/usr/bin/tool", mode=0o755)]
    for target in (tmp_path / "one", tmp_path / "two"):
        await files.lay(entries, target, "ACCOUNT", fetch)
        assert (target / "root/pkg/b.py").read_bytes() == b"x"
        assert stat.S_IMODE((target / "usr/bin/tool").stat().st_mode) == 0o755
    assert len(fetched) == 2, "one content with two modes"
    (tmp_path / "one/root/a.py").write_bytes(b"changed")
    assert (tmp_path / "two/root/a.py").read_bytes() == (b"changed" if linked else b"x")


async def test_another_workspace_fetches_for_itself(tmp_path: Path) -> None:
    async def nothing(digest: str) -> bytes:
        raise ObjectMissing(digest)

    async def fetch(_: str) -> bytes:
        return b"x"

    files = Files(tmp_path / "cache", linked=True, limit_bytes=1 << 20)
    await files.lay([entry("/root/a.py")], tmp_path / "one", "MINE", fetch)
    with pytest.raises(StartRefused, match=r"/root/a\.py"):
        await files.lay([entry("/root/a.py")], tmp_path / "two", "THEIRS", nothing)


@pytest.mark.parametrize("path", ["/root/../etc/passwd", "relative", "/", "/a//b", "/a/", "/a\0b"])
async def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    async def fetch(_: str) -> bytes:
        return b"x"

    files = Files(tmp_path / "cache", linked=True, limit_bytes=1 << 20)
    with pytest.raises(StartRefused):
        await files.lay([entry(path)], tmp_path / "target", "A", fetch)


async def test_cache_drops_what_was_used_longest_ago(tmp_path: Path) -> None:
    contents = {entry("/f", bytes([n]) * 1000).sha256: bytes([n]) * 1000 for n in range(5)}

    async def fetch(digest: str) -> bytes:
        return contents[digest]

    files = Files(tmp_path / "cache", linked=True, limit_bytes=2500)
    for n in range(5):
        await files.lay([entry(f"/root/{n}", bytes([n]) * 1000)], tmp_path / "t", "A", fetch)
        os.utime(
            next((tmp_path / "cache/A").glob(f"{entry('/f', bytes([n]) * 1000).sha256}*")), (n, n)
        )
    assert await files.prune() == 3000
    kept = {path.name.partition("-")[0] for path in (tmp_path / "cache/A").iterdir()}
    assert kept == {entry("/f", bytes([n]) * 1000).sha256 for n in (3, 4)}


# --- slots, site, machine -------------------------------------------------------------------------


def test_slot_remembers_over_a_restart(tmp_path: Path) -> None:
    slots = Slots(tmp_path / "containers")
    made = slots.slot("ct-1")
    made.make()
    made.note(start=start(), handle="h", gpus=(1,))
    made.note(stop_reason="enough")
    made.note_position("12,3")
    again = slots.slot("ct-1")
    assert again.load()
    assert again.record.start == start()
    assert (again.record.handle, again.record.stop_reason) == ("h", "enough")
    assert again.position() == "12,3"
    assert stat.S_IMODE(slots.directory.stat().st_mode) == 0o700
    made.forget()
    assert not again.load()


async def test_site_holds_a_guest_that_starts_without_our_environment(tmp_path: Path) -> None:
    async def never(_: Path) -> None:
        raise AssertionError("our own Python compiles for itself")

    sites = Sites(tmp_path)
    site = await sites.get(OWN_VERSION, never)
    assert await sites.get(f"{OWN_VERSION}.99", never) == site
    for path in imported_from(site):
        assert path.is_relative_to(site)
        assert path.exists()


async def test_sites_of_other_releases_go_unless_used(tmp_path: Path) -> None:
    async def never(_: Path) -> None:
        raise AssertionError("our own Python compiles for itself")

    sites = Sites(tmp_path)
    current = await sites.get(OWN_VERSION, never)
    for name in ("3.11-0123456789abcdef", "3.12-0123456789abcdef", ".new-x"):
        (tmp_path / name).mkdir()
    await sites.prune({str(tmp_path / "3.12-0123456789abcdef")})
    assert names_in(tmp_path) == {current.name, "3.12-0123456789abcdef"}


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def imported_from(site: Path) -> list[Path]:
    """Where a bare interpreter finds the guest, a dependency and its byte code."""
    source = (
        "import sys; sys.path[:0] = [sys.argv[1] + '/own']; sys.path.append(sys.argv[1] + "
        "'/packages'); import squall_guest.boot, msgspec; print(squall_guest.__file__, "
        "msgspec.__file__, squall_guest.boot.__cached__)"
    )
    argv = [sys.executable, "-I", "-S", "-c", source, str(site)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return [Path(path) for path in done.stdout.split()]


def test_guest_depends_on_little() -> None:
    needed = dependencies()
    assert {"msgspec", "cloudpickle", "nats-py", "nkeys", "uvloop"} <= set(needed)
    assert not {"aiohttp", "structlog", "anyio", "typer", "rich"} & set(needed)


def test_owner_is_dead_once_its_process_has_ended() -> None:
    assert not owner.is_dead(owner.own_name())
    child = subprocess.Popen(["sleep", "60"])
    name = ":".join((owner.own_name().split(":")[0], str(child.pid), owner.start_ticks(child.pid)))
    assert not owner.is_dead(name)
    child.kill()
    child.wait()
    assert owner.is_dead(name)
    assert not owner.is_dead("")
    assert not owner.is_dead("1:2:3"), "a process of another namespace can't be judged"


def test_one_runner_a_state_directory(tmp_path: Path) -> None:
    with machine.lock(tmp_path), pytest.raises(machine.StateInUse, match="SQUALL_RUNNER_STATE_DIR"):
        machine.lock(tmp_path)
    with machine.lock(tmp_path):
        assert machine.runner_id(tmp_path) == machine.runner_id(tmp_path)


def test_machine_offers_what_settings_say() -> None:
    settings = Settings(cpu=3.5, memory_mib=1024, gpus=("H100",), labels={"zone": "a"})
    record = machine.describe(settings, new_id("rn"))
    assert (record.cpu, record.memory_mib, record.gpus) == (3.5, 1024, ("H100",))
    assert machine.describe(Settings(), "rn-1").memory_mib > 256


def test_loopback_is_the_gateway_to_containers() -> None:
    own = ("nats://127.0.0.1:4222", "localhost:4223", "nats://bus.example:4222")
    assert prepare.servers_for_containers(own, "172.18.0.1") == (
        "nats://172.18.0.1:4222",
        "nats://172.18.0.1:4223",
        "nats://bus.example:4222",
    )


def test_settings_are_read_from_the_environment() -> None:
    environment = {
        "SQUALL_RUNNER_RUNTIME": "process",
        "SQUALL_RUNNER_GPUS": "H100, H100",
        "SQUALL_RUNNER_WARM_POOL": "0",
    }
    settings = read_settings(Settings, environment, "SQUALL_RUNNER_")
    assert (settings.runtime, settings.gpus, settings.warm_pool) == ("process", ("H100", "H100"), 0)
    with pytest.raises(SettingsError, match="SQUALL_RUNNER_PIDS_LIMIT"):
        read_settings(Settings, {"SQUALL_RUNNER_PIDS_LIMIT": "1"}, "SQUALL_RUNNER_")


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_sandbox_program_is_a_whole_elf(name: str) -> None:
    made = sandbox_image.program(name)
    assert made is not None
    entry_point, size = struct.unpack_from("<Q", made, 24)[0], struct.unpack_from("<Q", made, 96)[0]
    assert made[:4] == b"\x7fELF"
    assert entry_point == 0x400000 + 120
    assert size == len(made)
    assert sandbox_image.program("vax") is None


def test_sandbox_program_sleeps_until_killed(tmp_path: Path) -> None:
    made = sandbox_image.program(platform.machine())
    if made is None:
        pytest.skip(f"there is none for {platform.machine()}")
    path = tmp_path / "pause"
    path.write_bytes(made)
    path.chmod(0o755)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([path], timeout=0.2, check=False)


def test_a_container_that_runs_is_remembered_where_the_disk_takes_no_more(tmp_path: Path) -> None:
    slot = Slots(tmp_path).slot("ct-1")
    slot.make()
    slot.note(handle="one")
    for taken in (".record", ".position"):
        (slot.directory / taken).mkdir()  # what is written there first can't be
    slot.remember(stop_reason="no longer needed")
    slot.note_position("7")
    assert (slot.record.handle, slot.record.stop_reason) == ("one", "no longer needed")
    with pytest.raises(OSError, match="directory"):
        slot.note(handle="another")
    anew = Slots(tmp_path).slot("ct-1")
    assert anew.load()
    assert (anew.record.handle, anew.record.stop_reason, anew.position()) == ("one", None, "")
