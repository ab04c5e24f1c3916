"""Lines 56 to 70: containers."""

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import squall
from squall.exception import (
    DeserializationError,
    InvalidError,
    RemoteError,
    SerializationError,
)
from squall_bus.bus import Bus

from .conftest import Program


def test_56_every_kind_of_end_is_an_outcome(parity: ModuleType) -> None:
    assert parity.same.remote({"a": 1}) == {"a": 1}
    with pytest.raises(ValueError, match="plain"):
        parity.raises.remote("plain")
    with pytest.raises(parity.LeavesTheFunction, match="left"):
        parity.raises.remote("base")
    with pytest.raises(RemoteError, match="SystemExit: 3"):
        parity.raises.remote("exit")
    assert parity.same.remote("still there") == "still there"


def test_57_failed_start_is_told_with_its_traceback(program: Program) -> None:
    module = program("broken_start")
    with pytest.raises(RuntimeError, match="nothing to be had") as raised:
        module.never.remote()
    frames = [entry.path for entry in raised.traceback]
    assert any(str(path).endswith("broken_start.py") for path in frames)


def test_58_hooks_run_in_order_on_one_loop(parity: ModuleType, counted: str) -> None:
    order, one_loop = parity.Hooked(path=counted).run.remote()
    assert order == ["sync enter", "async enter"]
    assert one_loop
    _until_there(counted)
    assert Path(counted).read_text() == "async exit True"


def _until_there(path: str) -> None:
    from watchfiles import watch

    def written() -> bool:
        return Path(path).exists() and bool(Path(path).read_text())

    if not written():
        for _ in watch(Path(path).parent, rust_timeout=500, yield_on_timeout=True):
            if written():
                return


def test_59_interrupted_containers_have_their_inputs_run_again(
    parity: ModuleType, tmp_path: Path
) -> None:
    assert parity.interrupted_once.remote(str(tmp_path / "input")) == 2
    assert parity.EnterInterrupted(path=str(tmp_path / "enter")).tries.remote() == 2


def test_60_cancelling_one_input_leaves_its_sibling_alone(parity: ModuleType, counted: str) -> None:
    stays, goes = parity.meets.spawn("stays", counted), parity.meets.spawn("goes", counted)
    _grown(counted, 2)
    goes.cancel()
    with pytest.raises(RemoteError):
        goes.get()
    with open(counted, "ab") as file:
        file.write(b".")
    assert stays.get() == "stays"


def _grown(path: str, size: int) -> None:
    from watchfiles import watch

    def grown() -> bool:
        return Path(path).exists() and Path(path).stat().st_size >= size

    if not grown():
        for _ in watch(Path(path).parent, rust_timeout=500, yield_on_timeout=True):
            if grown():
                return


def test_61_batches_of_all_sizes(parity: ModuleType) -> None:
    sums = list(parity.in_batches.map(range(500), range(500)))
    assert [value for value, _ in sums] == [2 * x for x in range(500)]
    assert max(size for _, size in sums) > 1
    assert parity.in_batches.remote(1, y=2)[0] == 3
    with pytest.raises(InvalidError, match=r"batch|list"):
        parity.in_batches.remote(-1, 0)


def test_62_sync_inputs_run_in_threads_up_to_the_target(parity: ModuleType, counted: str) -> None:
    threads = list(parity.thread_of.map([counted] * 3))
    assert len(set(threads)) == 3


def test_63_volumes_are_committed_at_the_end_also_after_an_error(parity: ModuleType) -> None:
    with parity.volume.batch_upload(force=True) as batch:
        batch.put_file(Path(__file__), "/seed.py")
    parity.writes.remote("good.txt", False)
    with pytest.raises(ValueError, match=r"bad\.txt"):
        parity.writes.remote("bad.txt", True)
    for name in ("good.txt", "bad.txt"):
        _listed(parity.volume, name)


def _listed(volume: squall.Volume, name: str) -> None:
    """Return once the volume has it; the test's own timeout ends the wait."""
    while name not in [entry.path for entry in volume.listdir("/")]:
        pass


def test_64_sandbox_belongs_to_the_app_of_the_function_that_makes_it(parity: ModuleType) -> None:
    sandbox_id, printed = parity.in_a_sandbox.remote("inside")
    assert printed == "inside\n"
    assert squall.Sandbox.from_id(sandbox_id).poll() == 0
    listed = squall.Sandbox.list(app_id=parity.app.app_id)
    assert parity.waiting_sandbox.remote() in {each.object_id for each in listed}


def test_65_sync_functions_have_the_main_thread(parity: ModuleType) -> None:
    assert parity.where.remote()["main thread"] is True


def test_66_files_may_hold_several_apps_and_private_decorations(parity: ModuleType) -> None:
    assert parity.of_the_other.remote() == "other"
    assert parity._privately.remote() == "private"


def test_67_huge_exceptions_are_trimmed(parity: ModuleType) -> None:
    with pytest.raises(SerializationError, match="ValueError: xxx") as raised:
        parity.raises.remote("large")
    assert len(str(raised.value)) < 2**21


class Unreadable:
    """Can be pickled, and not unpickled in a container."""

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return getattr, (pickle, "no_such_name")


def test_68_input_that_cannot_be_read_fails_alone(parity: ModuleType) -> None:
    outcomes = list(parity.describe.map([1, Unreadable(), "x"], return_exceptions=True))
    assert (outcomes[0], outcomes[2]) == ("int", "str")
    assert isinstance(outcomes[1], DeserializationError | AttributeError)


def test_69_code_in_a_container_is_not_local(parity: ModuleType) -> None:
    assert squall.is_local() is True
    assert parity.where.remote()["local"] is False


def test_70_message_stored_twice_runs_once(
    parity: ModuleType, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Bus.store_at_once
    sent: list[str] = []

    def twice(bus: Bus, subject: str, message: object, *, on_stored: Any, **kwargs: Any) -> None:
        sent.append(subject)
        store(bus, subject, message, on_stored=on_stored, **kwargs)
        store(bus, subject, message, on_stored=lambda _: None, **kwargs)

    monkeypatch.setattr(Bus, "store_at_once", twice)
    assert parity.fails_until.remote(counted, 1) == 1
    assert parity.double.remote(1) == 2
    assert len(sent) == 2
    assert Path(counted).stat().st_size == 1
