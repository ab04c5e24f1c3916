"""The flight record: what this container is running, readable by the runner after it died."""

import mmap
import os

import msgspec
from squall_contracts.guest import FLIGHT_RECORD_BYTES, FLIGHT_SLOT_BYTES
from squall_contracts.message import encode
from squall_contracts.placement import HeldInput

SLOTS = FLIGHT_RECORD_BYTES // FLIGHT_SLOT_BYTES
_ROOM = FLIGHT_SLOT_BYTES - 2


class FlightRecord:
    """A mapped file with one slot for each delivery being run; pages survive the process."""

    def __init__(self, path: str) -> None:
        """Map `path`, made if it is missing. OSError if it can't be written."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, FLIGHT_RECORD_BYTES)
            self._map = mmap.mmap(descriptor, FLIGHT_RECORD_BYTES)
        finally:
            os.close(descriptor)

    def note(self, slot: int, held: HeldInput) -> None:
        """Note that a delivery is being run. Slots past the record's end go unnoted: their
        deliveries come back when the server misses their acks. So do those that were never stored,
        which nobody could give back."""
        if slot >= SLOTS or not held.ack_subject:
            return
        record = encode(held)
        if len(record) > _ROOM:  # a large group: it is split when it comes back, one index will do
            record = encode(msgspec.structs.replace(held, indexes=held.indexes[:1]))
        start = slot * FLIGHT_SLOT_BYTES
        self._map[start + 2 : start + 2 + len(record)] = record
        self._map[start : start + 2] = len(record).to_bytes(2, "big")  # last: the slot is whole

    def clear(self, slot: int) -> None:
        """Note that the slot's delivery is no longer run."""
        if slot < SLOTS:
            start = slot * FLIGHT_SLOT_BYTES
            self._map[start : start + 2] = b"\0\0"
