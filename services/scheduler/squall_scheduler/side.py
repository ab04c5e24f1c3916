"""Those who share the machines on one level: workspaces, or the functions of one. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from squall_scheduler.capacity import Demand
from squall_scheduler.core import Held
from squall_scheduler.sharing import Shares


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
    ) -> None:
        """`working`: those that may go, in the order they would; `shares` is empty yet."""
        self.group = group
        self.shares = shares
        for held in staying:
            shares.hold(group(held), held.demand, held.gpu)
        self.working: defaultdict[str, list[Held]] = defaultdict(list)
        for held in working:
            self.working[group(held)].append(held)
        self._least: dict[str, Demand] = {}

    def greatest_first(self, *, but: str, of: Sequence[str] | None = None) -> list[str]:
        """The groups whose containers may go, or those `of` them, by share, the greatest first."""
        names = self.working.keys() if of is None else of
        found = [name for name in names if name != but]
        return sorted(found, key=lambda name: (-self.shares.share(name), name))

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
