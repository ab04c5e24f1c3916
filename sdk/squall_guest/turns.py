"""Whose turn it is among the bulk lanes: theirs who have had least of the container's time. Pure.

Start-time fair queueing: a lane that comes back after it had nothing to do begins where the others
are, so nobody saves up turns; one whose inputs merely have not arrived yet keeps what it is owed.
"""

from collections.abc import Iterable

from msgspec import Struct
from squall_contracts.calls import Lane

LEAD_S = 0.020
"""How far a lane may be ahead of another with more to do before nothing more of it is asked for."""
_WEIGHT = 0.2


class _Served(Struct):
    """One lane's account."""

    seconds: float = 0.0
    """Of the container's time, as if it had been here from the beginning."""
    here: int = 0
    """Deliveries that nobody has begun."""
    running: int = 0
    more: bool = False
    """The server had more of it when last heard of."""
    run_s: float = 0.0
    """Moving average of one delivery's time."""

    @property
    def wants(self) -> bool:
        return self.here > 0 or self.more

    @property
    def standing(self) -> float:
        """Its time when what runs of it is over, as far as can be told."""
        return self.seconds + self.running * self.run_s


class Turns:
    """Accounts of lanes, none of which is known before something of it arrives."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, _Served] = {}
        self._begun_s = 0.0
        """The standing of the lane whose delivery was begun last."""

    def arrived(self, lane: Lane, pending: int) -> None:
        """A delivery is here, and the server has `pending` more."""
        account = self._lanes.setdefault(lane, _Served())
        if not account.wants and not account.running:
            account.seconds = max(account.seconds, self._begun_s)
        account.here += 1
        account.more = pending > 0

    def began(self, lane: Lane) -> None:
        """One that was here is run."""
        account = self._lanes[lane]
        self._begun_s = max(self._begun_s, account.standing)
        account.here -= 1
        account.running += 1

    def ended(self, lane: Lane, spent_s: float) -> None:
        """One that was run took so long."""
        account = self._lanes[lane]
        account.running -= 1
        account.seconds += spent_s
        account.run_s += _WEIGHT * (spent_s - account.run_s) if account.run_s else spent_s

    def returned(self, lane: Lane) -> None:
        """One that was here went back to the server."""
        account = self._lanes[lane]
        account.here -= 1
        account.more = True

    def withdrawn(self, lane: Lane) -> None:
        """One that was here is not to be run."""
        self._lanes[lane].here -= 1

    def missed(self) -> None:
        """The container has room and nothing came: others have taken what the server had."""
        for account in self._lanes.values():
            account.more = False

    def first(self, lanes: Iterable[Lane]) -> Lane:
        """Which of these is due. ValueError for none."""
        return min(lanes, key=self._standing)

    def may_ask(self, lane: Lane) -> bool:
        """Whether it is not ahead of another that has more to do."""
        return all(
            self._standing(lane) <= other.standing + LEAD_S
            for name, other in self._lanes.items()
            if name != lane and other.wants
        )

    def _standing(self, lane: Lane) -> float:
        account = self._lanes.get(lane)
        return self._begun_s if account is None else account.standing
