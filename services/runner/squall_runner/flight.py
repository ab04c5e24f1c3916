"""Reading a flight record: what a container was running when it died.

The file was writable by user code, so nothing in it is trusted: a slot that isn't the note of one
of this function's own deliveries is left out.
"""

from pathlib import Path

import msgspec
from squall_contracts import subjects
from squall_contracts.guest import FLIGHT_RECORD_BYTES, FLIGHT_SLOT_BYTES
from squall_contracts.message import decode
from squall_contracts.placement import HeldInput


def held_inputs(path: Path, function_id: str) -> tuple[HeldInput, ...]:
    """The deliveries noted in the record at `path`; empty when there is no record."""
    try:
        with path.open("rb") as record:
            data = record.read(FLIGHT_RECORD_BYTES)
    except FileNotFoundError:
        return ()
    return read_slots(data, function_id)


def read_slots(data: bytes, function_id: str) -> tuple[HeldInput, ...]:
    """The notes in `data`, in the order of their slots, without those of other functions."""
    notes = []
    for offset in range(0, len(data) - FLIGHT_SLOT_BYTES + 1, FLIGHT_SLOT_BYTES):
        note = _read_slot(data[offset : offset + FLIGHT_SLOT_BYTES])
        if note is not None and _belongs(note, function_id):
            notes.append(note)
    return tuple(notes)


def _read_slot(slot: bytes) -> HeldInput | None:
    length = int.from_bytes(slot[:2], "big")
    if not 0 < length <= FLIGHT_SLOT_BYTES - 2:
        return None
    try:
        return decode(slot[2 : 2 + length], HeldInput)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None  # torn by the death itself, or by user code


def _belongs(note: HeldInput, function_id: str) -> bool:
    tokens = note.ack_subject.split(".")
    durables = {subjects.consumer(function_id, lane) for lane in subjects.LANES}
    return (
        tokens[:2] == ["$JS", "ACK"]
        and subjects.CALLS in tokens
        and not durables.isdisjoint(tokens)
        and note.reply_to.startswith(("reply.", "result."))
    )
