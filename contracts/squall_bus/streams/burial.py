"""Storing a dead letter, with its payload."""

from typing import TYPE_CHECKING

import msgspec
from squall_contracts import subjects
from squall_contracts.calls import BlobRef
from squall_contracts.dead import DeadLetter

from squall_bus.errors import ObjectMissing

if TYPE_CHECKING:
    from squall_bus.bus import Bus


async def bury(bus: "Bus", letter: DeadLetter) -> None:
    """Store a letter; a payload that is a blob is copied first, because blobs go with their call.

    Done twice it leaves one letter. BusError.
    """
    payload = letter.payload
    if isinstance(payload, BlobRef):
        objects = bus.objects(subjects.BLOBS_BUCKET)
        copy = msgspec.structs.replace(payload, name=f"dead/{letter.letter_id}")
        try:
            await objects.put(copy.name, objects.stream(payload.name), sha256=payload.sha256)
        except ObjectMissing:
            copy = payload  # gone with its call: the letter says what failed, retrying it will too
        letter = msgspec.structs.replace(letter, payload=copy)
    subject = subjects.dead(letter.environment, letter.function_id, letter.letter_id)
    await bus.store(subject, letter, msg_id=letter.letter_id)
