"""Which containers could begin a request at once, as far as they have told. Pure."""

from typing import Final

FRESH_S: Final = 5.0
"""What a container has said of its room holds for so long."""


class Room:
    """One container's."""

    __slots__ = ("_epoch", "_open", "_told_s", "_vacant", "container_id", "down")

    def __init__(self, container_id: str, down: str) -> None:
        self.container_id = container_id
        self.down = down
        """The subject it hears."""
        self._vacant = 0
        self._open = 0
        self._told_s = float("-inf")
        self._epoch: int | None = None

    def told(self, vacant: int, epoch: int, now_s: float) -> bool:
        """It has room for so many. What was offered and not answered may not be counted in that. True
        if it was away since it last said something."""
        was, self._epoch = self._epoch, epoch
        self._vacant = max(0, vacant - self._open)
        self._told_s = now_s
        return was is not None and was != epoch

    def offered(self) -> None:
        """It is sent one."""
        self._vacant -= 1
        self._open += 1

    def answered(self) -> None:
        """It has said something of one that it was sent, or is not waited for any more."""
        self._open -= 1

    def gone(self) -> None:
        """Nobody hears what is sent there."""
        self._vacant = 0

    def vacant(self, now_s: float) -> int:
        """How many it may be sent."""
        return self._vacant if now_s - self._told_s < FRESH_S else 0

    def is_stale(self, now_s: float) -> bool:
        return not self._open and not self.vacant(now_s)


class Rooms:
    """Of all containers that have told of theirs, by function."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Room]] = {}

    def knows(self, function_id: str, container_id: str) -> bool:
        return container_id in self._of.get(function_id, ())

    def of(self, function_id: str, container_id: str, down: str) -> Room:
        """A container's; made if it isn't known."""
        rooms = self._of.setdefault(function_id, {})
        room = rooms.get(container_id)
        if room is None:
            room = rooms[container_id] = Room(container_id, down)
        return room

    def best(self, function_id: str, now_s: float) -> Room | None:
        """Where there is most room; None where there is none."""
        best, most = None, 0
        for room in self._of.get(function_id, {}).values():
            vacant = room.vacant(now_s)
            if vacant > most:
                best, most = room, vacant
        return best

    def prune(self, now_s: float) -> None:
        """Forget those of which nothing is known any more."""
        for function_id, rooms in list(self._of.items()):
            for container_id, room in list(rooms.items()):
                if room.is_stale(now_s):
                    del rooms[container_id]
            if not rooms:
                del self._of[function_id]
