"""From the assignment to `ready`, or to a reason why not."""

import asyncio
import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from squall import _pickling
from squall_contracts import subjects
from squall_contracts.calls import Exhausted
from squall_contracts.functions import FileEntry
from squall_contracts.guest import EXIT_INTERRUPTED, EXIT_MACHINE, EXIT_NO_BUS, EXIT_STARTUP
from squall_contracts.message import encode

from tests.chaos.disks import Disk
from tests.guest.rig import Guest, Rig
from tests.ports import free_port


async def failed(guest: Guest) -> Any:
    """The failure it reports; it exits as agreed."""
    async with asyncio.timeout(30):
        while (report := await guest.reports.get()).state != "failed":
            assert report.state == "importing"
    assert await guest.exit_code() == EXIT_STARTUP
    assert report.failure is not None
    assert report.failure.kind == "startup"
    return report.failure


async def test_a_missing_module_is_reported(rig: Rig) -> None:
    function = await rig.function("double", module="no_such_module")
    failure = await failed(await function.guest(ready=False))
    assert failure.message == "ModuleNotFoundError: No module named 'no_such_module'"
    assert isinstance(_pickling.loads(failure.pickled), ModuleNotFoundError)


async def test_a_missing_or_wrong_name_is_reported(rig: Rig) -> None:
    function = await rig.function("absent")
    failure = await failed(await function.guest(ready=False))
    assert failure.message.startswith("InvalidError: module 'functions' has no 'absent'")
    function = await rig.function("not_a_function")
    failure = await failed(await function.guest(ready=False))
    assert "not a function" in failure.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("import sys; sys.exit(7)", "SystemExit: 7"),
        ("def double(:", "SyntaxError: invalid syntax"),
    ],
)
async def test_a_module_that_cannot_be_imported_is_reported(
    rig: Rig, tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "files" / "root").mkdir(parents=True)
    (tmp_path / "files" / "root" / "broken.py").write_text(source)
    entry = FileEntry(path="/root/broken.py", sha256="", size_bytes=len(source))
    function = await rig.function("double", module="broken", files=(entry,))
    guest = await function.guest(ready=False, files_dir=str(tmp_path / "files"))
    failure = await failed(guest)
    assert failure.message.startswith(message)
    assert "squall_guest" not in failure.traceback
    assert "importlib" not in failure.traceback
    assert "broken.py" in failure.traceback


@pytest.mark.parametrize("how", ["time.sleep(60)", "while True: pass"])
async def test_an_import_that_takes_too_long_is_interrupted(
    rig: Rig, tmp_path: Path, how: str
) -> None:
    (tmp_path / "files" / "root").mkdir(parents=True)
    (tmp_path / "files" / "root" / "slow.py").write_text(f"import time\n{how}\n")
    entry = FileEntry(path="/root/slow.py", sha256="", size_bytes=20)
    function = await rig.function("f", module="slow", files=(entry,), startup_timeout_s=1.0)
    guest = await function.guest(ready=False, files_dir=str(tmp_path / "files"))
    failure = await failed(guest)
    assert failure.message == "FunctionTimeoutError: the container was not ready within 1 s"
    assert "slow.py" in failure.traceback


async def test_a_file_that_is_missing_is_named(rig: Rig) -> None:
    entry = FileEntry(path="/root/lost.py", sha256="", size_bytes=3)
    function = await rig.function("f", module="lost", files=(entry,))
    failure = await failed(await function.guest(ready=False))
    assert "can't lay /root/lost.py" in failure.message


async def test_a_full_disk_is_the_machines_fault_not_the_functions(
    rig: Rig, tmp_path: Path
) -> None:
    (tmp_path / "files" / "root").mkdir(parents=True)
    (tmp_path / "files" / "root" / "m.py").write_text("x = 1\n" * 5000)
    entry = FileEntry(path="/root/m.py", sha256="", size_bytes=30_000)
    function = await rig.function("f", module="m", files=(entry,))
    try:
        disk = Disk(tmp_path / "disk")
    except RuntimeError:
        pytest.skip("this process may not mount a tmpfs")
    try:
        (tmp_path / "disk" / "root").mkdir()
        disk.fill()
        guest = await function.guest(
            ready=False, files_dir=str(tmp_path / "files"), root=str(tmp_path / "disk")
        )
        assert await guest.exit_code() == EXIT_MACHINE
    finally:
        disk.remove()
    assert "No space left on device" in guest.output()


async def test_large_files_are_linked_and_small_ones_copied(rig: Rig, tmp_path: Path) -> None:
    files = tmp_path / "files"
    (files / "root" / "data").mkdir(parents=True)
    (files / "root" / "data" / "large").write_bytes(bytes(2_000_000))
    (files / "root" / "data" / "small").write_bytes(b"x")
    (files / "root" / "m.py").write_text(
        "import os\ndef f():\n"
        "    return [os.path.islink('data/large'), os.path.islink('data/small'),"
        " os.path.getsize('data/large'), os.access('data/small', os.X_OK)]\n"
    )
    entries = (
        FileEntry(path="/root/m.py", sha256="", size_bytes=10),
        FileEntry(path="/root/data/large", sha256="", size_bytes=2_000_000),
        FileEntry(path="/root/data/small", sha256="", size_bytes=1, mode=0o755),
    )
    function = await rig.function("f", module="m", files=entries)
    await function.guest(files_dir=str(files))
    assert await (await function.call()).value() == [True, False, 2_000_000, True]


DECORATED = """
import squall

app = squall.App("test")

@app.function()
def plus_one(value: int) -> int:
    return value + 1

@app.function(is_generator=True, name="renamed")
def counted(upto: int):
    yield from range(upto)
"""


async def test_a_decorated_function_is_found_under_its_wrapper(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "files" / "root").mkdir(parents=True)
    (tmp_path / "files" / "root" / "decorated.py").write_text(DECORATED)
    entry = FileEntry(path="/root/decorated.py", sha256="", size_bytes=len(DECORATED))
    function = await rig.function("plus_one", module="decorated", files=(entry,))
    await function.guest(files_dir=str(tmp_path / "files"))
    assert await (await function.call(4)).value() == 5
    generator = await rig.function(
        "counted", module="decorated", files=(entry,), name="renamed", is_generator=True
    )
    await generator.guest(files_dir=str(tmp_path / "files"))
    assert await (await generator.call(3)).outcome() == Exhausted(0, 3)


async def serialized(rig: Rig, pickled: bytes, **fields: Any) -> Any:
    digest = hashlib.sha256(pickled).hexdigest()
    await rig.bus.objects(subjects.CODE_BUCKET).put(digest, pickled)
    return await rig.function("local", serialized=digest, module="__main__", files=(), **fields)


def make_adder(number: int) -> Callable[[int], int]:
    return lambda value: value + number


async def test_a_serialized_function_is_fetched_and_run(rig: Rig) -> None:
    import sys

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        pickled = cloudpickle.dumps(make_adder(5))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    function = await serialized(rig, pickled)
    await function.guest()
    assert await (await function.call(2)).value() == 7


async def test_a_serialized_function_that_is_not_there_or_unreadable_is_reported(rig: Rig) -> None:
    function = await rig.function("local", serialized="0" * 64, files=())
    failure = await failed(await function.guest(ready=False))
    assert "not in the code store" in failure.message
    function = await serialized(rig, b"cno_such_module\nthing\n.")
    failure = await failed(await function.guest(ready=False))
    assert "no_such_module" in failure.message


async def test_the_assignment_may_come_late_through_a_pipe(rig: Rig, tmp_path: Path) -> None:
    function = await rig.function("double")
    (tmp_path / "warm" / "files" / "root").mkdir(parents=True)
    (tmp_path / "warm" / "root" / "root").mkdir(parents=True)
    shipped = Path(__file__).with_name("functions.py").read_bytes()
    (tmp_path / "warm" / "files" / "root" / "functions.py").write_bytes(shipped)
    pipe = tmp_path / "warm" / "pipe"
    os.mkfifo(pipe)
    assignment = rig.assignment(function, tmp_path / "warm", ahead=True)
    guest = rig.start(assignment, tmp_path / "warm", pipe)
    await asyncio.to_thread(pipe.write_bytes, encode(assignment))
    report = await guest.report("ready")
    assert "boot" not in report.phases_ms, "nobody waited for what was done ahead"
    assert "import" in report.phases_ms
    assert await (await function.call(3)).value() == 6


async def test_an_unreadable_assignment_ends_with_one_line(rig: Rig, tmp_path: Path) -> None:
    function = await rig.function("double")
    (tmp_path / "x" / "root" / "root").mkdir(parents=True)
    path = tmp_path / "x" / "assignment"
    path.write_bytes(b"garbage")
    guest = rig.start(rig.assignment(function, tmp_path / "x"), tmp_path / "x", path)
    assert await guest.exit_code() == EXIT_NO_BUS
    assert len(guest.output().splitlines()) == 1
    assert "SQUALL_ASSIGNMENT" in guest.output()


async def test_a_server_that_is_not_there_ends_with_one_line(rig: Rig) -> None:
    function = await rig.function("double")
    guest = await function.guest(ready=False, servers=(f"nats://127.0.0.1:{free_port()}",))
    assert await guest.exit_code() == EXIT_NO_BUS
    assert "can't start" in guest.output()
    assert "Traceback" not in guest.output()


async def test_sigterm_before_ready_ends_at_once(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "files" / "root").mkdir(parents=True)
    (tmp_path / "files" / "root" / "slow.py").write_text("import time\ntime.sleep(60)\n")
    entry = FileEntry(path="/root/slow.py", sha256="", size_bytes=20)
    function = await rig.function("f", module="slow", files=(entry,))
    guest = await function.guest(ready=False, files_dir=str(tmp_path / "files"))
    await guest.report("importing")
    guest.signal(signal.SIGTERM)
    assert await guest.exit_code() == EXIT_INTERRUPTED
