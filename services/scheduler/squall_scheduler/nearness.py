"""Which machines can start a function's container sooner than others. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from squall_scheduler.capacity import Demand, Free, fit


class Nearness:
    """By function: the machines that hold a snapshot of it, then those with a warm container of its
    image. Within a round machines only fill up, so one without room is not looked at again."""

    def __init__(self, machines: Iterable[Free]) -> None:
        """`machines` in the order they are filled."""
        self._near: defaultdict[str, list[Free]] = defaultdict(list)
        later: list[tuple[str, Free]] = []
        for free in machines:
            for function_id in free.machine.snapshots:
                self._near[function_id].append(free)
            later += [(function_id, free) for function_id in free.machine.warm]
        for function_id, free in later:
            self._near[function_id].append(free)
        self._passed: dict[tuple[str, Demand], int] = {}

    def find(self, function_id: str, demand: Demand) -> Free | None:
        """The first of them with room; None: there is none."""
        machines = self._near.get(function_id)
        if machines is None:
            return None
        at = self._passed.get((function_id, demand), 0)
        while at < len(machines) and fit(demand, machines[at]) is None:
            at += 1
        self._passed[function_id, demand] = at
        return machines[at] if at < len(machines) else None
