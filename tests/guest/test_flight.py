"""The flight record, read the way the runner reads it."""

from pathlib import Path

from squall_contracts.guest import FLIGHT_RECORD_BYTES, FLIGHT_SLOT_BYTES
from squall_contracts.message import decode
from squall_contracts.placement import HeldInput
from squall_guest.flight import SLOTS, FlightRecord


def held(indexes: tuple[int, ...]) -> HeldInput:
    return HeldInput(
        ack_subject="$JS.ACK.CALLS.fn-1_now.1.2.3.1700000000000000000.0",
        call_id="fc-1",
        reply_to="reply.main.cl-1.fc-1",
        indexes=indexes,
    )


def read(path: Path) -> dict[int, HeldInput]:
    data = path.read_bytes()
    assert len(data) == FLIGHT_RECORD_BYTES
    found = {}
    for slot in range(SLOTS):
        start = slot * FLIGHT_SLOT_BYTES
        size = int.from_bytes(data[start : start + 2], "big")
        if size:
            found[slot] = decode(data[start + 2 : start + 2 + size], HeldInput)
    return found


def test_noted_deliveries_are_in_the_file_until_cleared(tmp_path: Path) -> None:
    record = FlightRecord(str(tmp_path / "flight"))
    record.note(0, held((1,)))
    record.note(SLOTS - 1, held((2, 3)))
    assert read(tmp_path / "flight") == {0: held((1,)), SLOTS - 1: held((2, 3))}
    record.clear(0)
    assert read(tmp_path / "flight") == {SLOTS - 1: held((2, 3))}


def test_a_group_too_large_for_its_slot_is_noted_by_its_first_index(tmp_path: Path) -> None:
    record = FlightRecord(str(tmp_path / "flight"))
    record.note(3, held(tuple(range(10_000, 10_500))))
    assert read(tmp_path / "flight") == {3: held((10_000,))}


def test_slots_past_the_record_are_ignored(tmp_path: Path) -> None:
    record = FlightRecord(str(tmp_path / "flight"))
    record.note(SLOTS, held((1,)))
    record.clear(SLOTS)
    assert read(tmp_path / "flight") == {}
