"""Those who share the machines on one level: workspaces, or the functions of one; and what it takes
to end one of their containers. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from squall_contracts.placement import ENDED

from squall_scheduler.capacity import Demand, Free, request
from squall_scheduler.core import Held, Limits
from squall_scheduler.sharing import Shares
from squall_scheduler.stock import Taken


def may_go(held: Held) -> bool:
    """Whether it may be told to make room: what boots has not had its use yet."""
    return held.state == "ready" and not held.keeps_its_place


class Side:
    """What each group holds, and which of its containers may be told to make room."""

    def __init__(
        self,
        group: Callable[[Held], str],
        shares: Shares,
        staying: Iterable[Held],
        working: Iterable[Held],
        *,
        order: Callable[[Held], tuple[bool, float, str]],
    ) -> None:
        """`working`: those that may go, in this `order`; `shares` is empty yet."""
        self.group = group
        self._order = order
        self._sorted: set[str] = set()
        self.shares = shares
        for held in staying:
            shares.hold(group(held), held.demand, held.gpu)
        self.working: defaultdict[str, list[Held]] = defaultdict(list)
        for held in working:
            self.working[group(held)].append(held)
        self._least: dict[str, Demand] = {}

    def greatest_first(self, *, but: str) -> list[str]:
        """The groups whose containers may go, by share, the greatest first."""
        found = [name for name in self.working if name != but]
        return sorted(found, key=lambda name: (-self.shares.share(name), name))

    def in_order(self, name: str) -> list[Held]:
        """A group's containers that may go, the first first."""
        if name not in self._sorted:
            self._sorted.add(name)
            self.working[name].sort(key=self._order)
        return self.working[name]

    def share_without_least(self, name: str) -> float:
        """The share a group would have without a container as small as its smallest."""
        least = self._least.get(name)
        if least is None:
            demands = [held.demand for held in self.working[name]]
            least = self._least[name] = Demand(
                min(demand.cpu_m for demand in demands),
                min(demand.memory_mib for demand in demands),
            )
        self.shares.hold(name, least, "", -1)
        share = self.shares.share(name)
        self.shares.hold(name, least, "")
        return share

    def drop(self, held: Held) -> None:
        """Count it no more."""
        self.shares.hold(self.group(held), held.demand, held.gpu, -1)

    def take_back(self, held: Held) -> None:
        """Count it again."""
        self.shares.hold(self.group(held), held.demand, held.gpu)


def without(free: Free, ended: Iterable[Held]) -> Free:
    """The machine as it would be without these containers."""
    left = Free(free.machine, free.cpu_m, free.memory_mib, free.gpus.copy())
    for held in ended:
        left.take(Demand(-held.demand.cpu_m, -held.demand.memory_mib), "")
        if held.gpu:
            kind, count = request(held.gpu)
            left.gpus[kind] += count
    return left


def by_runner(containers: Iterable[Held]) -> dict[str, list[Held]]:
    found: defaultdict[str, list[Held]] = defaultdict(list)
    for held in containers:
        found[held.runner_id].append(held)
    return found


def part_of(held: Held) -> Taken:
    return held.runner_id, held.demand, held.gpu


def stays(held: Held) -> bool:
    return bool(held.runner_id) and held.state not in ENDED and held.state != "draining"


def turn_ends(held: Held, weight: float, limits: Limits) -> float:
    since = held.ready_unix_s if held.ready_unix_s is not None else held.requested_unix_s
    return since + limits.turn_s * weight
