"""Which machines hold a snapshot of a function, and which worked with an image or a volume lately and
so most likely have it at hand. Pure."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

RUNNERS_EACH: Final = 64
MOST_THINGS: Final = 8192
"""Both bound memory; what was used longest ago is forgotten first."""


class Whereabouts:
    """A guess, good enough to prefer a machine by: a container that was placed fetched what it needs."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        """The runners by thing, both in the order of their last use."""

    def used(self, runner_id: str, things: Iterable[str]) -> None:
        """A container that needs `things` was placed on a runner."""
        for thing in things:
            runners = self.known.setdefault(thing, OrderedDict())
            self.known.move_to_end(thing)
            runners[runner_id] = None
            runners.move_to_end(runner_id)
            if len(runners) > RUNNERS_EACH:
                runners.popitem(last=False)
        while len(self.known) > MOST_THINGS:
            self.known.popitem(last=False)

    def holds(self, runner_id: str, before: Iterable[str], now: Iterable[str]) -> None:
        """A runner says of what it holds a snapshot, and what it said last."""
        for thing in set(before) - set(now):
            self._left(runner_id, thing)
        self.used(runner_id, now)

    def lost(self, runner_id: str) -> None:
        """A runner is gone."""
        for thing in [thing for thing, runners in self.known.items() if runner_id in runners]:
            self._left(runner_id, thing)

    def _left(self, runner_id: str, thing: str) -> None:
        runners = self.known.get(thing, OrderedDict())
        runners.pop(runner_id, None)
        if not runners:
            self.known.pop(thing, None)
