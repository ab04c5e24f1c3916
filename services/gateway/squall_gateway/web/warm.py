"""Requests offered, unstored, to containers that have just said that they have room."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.wire.base import status_of
from squall_contracts.message import encode, new_id
from squall_contracts.web import Frames, Offered

from squall_gateway.web.rooms import Room, Rooms
from squall_gateway.web.turn import Turn

log = structlog.get_logger()

MOST_BYTES: Final = 256 * 1024
"""A head that is larger, with its body, is stored."""
_NOBODY: Final = 503


class Offer:
    """One head on its way to a container, until that says what becomes of it."""

    __slots__ = ("data", "number", "room")

    def __init__(self, room: Room, data: bytes) -> None:
        self.room = room
        self.data = data
        self.number = 0
        """Of the message it went with; 0: it has not gone."""


class Warm:
    """The offers of one workspace. A message of offers carries a reply subject, on which the server
    says at once if nobody has heard it: then they surely were not begun."""

    def __init__(self, own: str, bus: Bus, unheard: Callable[[Turn], None]) -> None:
        """`unheard(turn)`: its offer has not come to anybody."""
        self._own = own
        self._bus = bus
        self._on_unheard = unheard
        self._loop = asyncio.get_running_loop()
        self._rooms = Rooms()
        self._leaving: list[Turn] = []
        self._open: dict[str, Turn] = {}
        self._number = 0
        self._inbox = f"{bus.wire.inbox}.{new_id('w')}."
        self._sid = bus.wire.listen(f"{self._inbox}*", self._unheard)

    def told(self, function_id: str, down: str, frames: Frames) -> None:
        """What a container says of itself, once all else it says is heard."""
        if not frames.room and not self._rooms.knows(function_id, frames.sender):
            return
        room = self._rooms.of(function_id, frames.sender, down)
        if room.told(frames.room, frames.epoch, self._loop.time()):
            # It was away: whether it has what was offered before nobody knows.
            self.doubt(frames.sender, "the container lost its connection")

    def offer(self, turn: Turn, data: bytes) -> bool:
        """Send a head to a container that can begin it at once. False: none is known."""
        if len(data) > MOST_BYTES or not self._bus.wire.is_connected:
            return False
        room = self._rooms.best(turn.endpoint.function_id, self._loop.time())
        if room is None:
            return False
        room.offered()
        turn.offer = Offer(room, data)
        self._open[turn.session] = turn
        if not self._leaving:
            self._loop.call_soon(self._send)
        self._leaving.append(turn)
        return True

    def over(self, turn: Turn) -> bytes:
        """There is no need to wait for its container's word any more; what was offered."""
        offer, turn.offer = turn.offer, None
        assert offer is not None
        self._open.pop(turn.session, None)
        offer.room.answered()
        return offer.data

    def doubt(self, container_id: str | None, why: str) -> None:
        """Give up what was offered to one container, or to all: it may have been begun, so it can't
        be asked for again."""
        for turn in list(self._open.values()):
            if turn.offer is not None and container_id in {None, turn.offer.room.container_id}:
                turn.give_up(why)

    def holders(self) -> dict[str, str]:
        """Containers whose word is awaited, and the subjects they hear."""
        self._rooms.prune(self._loop.time())
        offers = [turn.offer for turn in self._open.values() if turn.offer is not None]
        return {offer.room.container_id: offer.room.down for offer in offers}

    def close(self) -> None:
        if not self._bus.is_closed:
            self._bus.wire.unlisten(self._sid)

    def _send(self) -> None:
        leaving, self._leaving = self._leaving, []
        groups: dict[str, list[Turn]] = {}
        for turn in leaving:
            if turn.offer is not None:  # its client may be gone already
                groups.setdefault(turn.offer.room.down, []).append(turn)
        for down, turns in groups.items():
            for at, size in _parts(turns):
                self._send_together(down, turns[at : at + size])

    def _send_together(self, down: str, turns: list[Turn]) -> None:
        self._number += 1
        items = []
        for turn in turns:
            assert turn.offer is not None
            turn.offer.number = self._number
            items.append(Offered(turn.session, turn.offer.data))
        try:
            message = encode(Frames(self._own, tuple(items)))
            self._bus.wire.send(down, message, f"{self._inbox}{self._number}")
        except BusError as error:
            log.info("web.not_offered", error=str(error))
            for turn in turns:
                self._on_unheard(turn)

    def _unheard(self, subject: str, _reply: str, _data: bytes, headers: bytes | None) -> None:
        if status_of(headers) != _NOBODY:
            return
        number = int(subject[len(self._inbox) :])
        for turn in list(self._open.values()):
            if turn.offer is not None and turn.offer.number == number:
                turn.offer.room.gone()
                self._on_unheard(turn)


def _parts(turns: list[Turn]) -> list[tuple[int, int]]:
    """Where each message begins and how many it has, none much larger than MOST_BYTES."""
    found, begin, total = [], 0, 0
    for at, turn in enumerate(turns):
        size = 0 if turn.offer is None else len(turn.offer.data)
        if at > begin and total + size > MOST_BYTES:
            found.append((begin, at - begin))
            begin, total = at, 0
        total += size
    found.append((begin, len(turns) - begin))
    return found
