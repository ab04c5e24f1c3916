"""All machines under indexes, so that one with room is found without looking at each. Pure.

A round only ever takes: what did not fit once does not fit later in it. That makes answers
rememberable, and a tree of maxima finds the first machine with room in log n.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from squall_scheduler.capacity import (
    ANY,
    Demand,
    Free,
    Machine,
    fit,
    request,
    room,
    suits,
    untouched,
)

Taken = tuple[str, Demand, str]
"""Runner id, what is taken of it, and the GPU request it honours."""
Labels = tuple[tuple[str, str], ...]
Allowed = Callable[[str, int], bool]
"""Whether GPUs of this type, and so many, may be given at all."""


class Stock:
    """What is free. Machines with GPUs come last for what needs none, and within that order the
    machine that was fullest when the round began is filled first; ties go to the lower id."""

    def __init__(
        self,
        machines: Iterable[Machine],
        taken: Iterable[Taken] = (),
        *,
        draining: bool = False,
        had: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """`draining`: offer machines that drain, too. `had`: who had which image or volume lately."""
        self.free = {machine.runner_id: untouched(machine) for machine in machines}
        for runner_id, demand, gpu in taken:
            if runner_id in self.free:
                self.free[runner_id].take(demand, gpu)
        self._order = sorted(
            (free for free in self.free.values() if draining or not free.machine.draining),
            key=lambda free: (bool(free.machine.gpus), room(free), free.machine.runner_id),
        )
        self._rank = {free.machine.runner_id: rank for rank, free in enumerate(self._order)}
        self._plain = _Shelf(self._order, "")
        kinds = {kind for free in self._order for kind in free.gpus}
        self._shelves = {
            kind: _Shelf([f for f in self._order if kind in f.gpus], kind) for kind in kinds
        }
        self._had = had or {}
        self._narrow: dict[tuple[str, tuple[str, ...], Labels], _Shelf] = {}
        self._narrow_with: defaultdict[str, list[_Shelf]] = defaultdict(list)

    def find(
        self, demand: Demand, allowed: Allowed | None = None, near: Sequence[str] = ()
    ) -> tuple[Free, str] | None:
        """A machine and the GPU request it honours: a better GPU first, then one that had all of
        `near` lately, or one thing of it, then a fuller machine. None: it fits nowhere."""
        wishes = self._wishes(near)
        if not demand.gpus:
            for wish in wishes:
                shelf = self._shelf("", wish, demand)
                found = shelf.first(demand.cpu_m, demand.memory_mib, 0)
                if found is not None:
                    return found, ""
            return None
        for gpu in demand.gpus:
            kind, count = request(gpu)
            names = [
                name
                for name in (sorted(self._shelves) if kind == ANY else (kind,))
                if name in self._shelves and (allowed is None or allowed(name, count))
            ]
            for wish in wishes:
                options = [
                    (self._rank[free.machine.runner_id], name, free)
                    for name in names
                    if (
                        free := self._shelf(name, wish, demand).first(
                            demand.cpu_m, demand.memory_mib, count
                        )
                    )
                    is not None
                ]
                if options:
                    _, name, free = min(options, key=lambda option: option[:2])
                    return free, f"{name}:{count}"
        return None

    def take(self, free: Free, demand: Demand, gpu: str) -> None:
        free.take(demand, gpu)
        self.changed(free)

    def changed(self, free: Free) -> None:
        """Less of this machine is free than was."""
        self._plain.changed(free)
        for kind in free.gpus:
            self._shelves[kind].changed(free)
        for shelf in self._narrow_with.get(free.machine.runner_id, ()):
            shelf.changed(free)

    def _wishes(self, near: Sequence[str]) -> list[tuple[str, ...]]:
        """What a machine had better have, best first; at last nothing."""
        present = tuple(key for key in near if self._had.get(key))
        alone = [(key,) for key in present] if len(present) > 1 else []
        return [present, *alone, ()] if present else [()]

    def _shelf(self, kind: str, wish: tuple[str, ...], demand: Demand) -> "_Shelf":
        """The machines with GPUs of this kind and the labels asked for that had all of `wish`. Where
        no GPU is asked for, those that have some are spared: only without a wish may they come, last."""
        if not wish and not demand.labels:
            return self._shelves[kind] if kind else self._plain
        name = (kind, wish, demand.labels)
        shelf = self._narrow.get(name)
        if shelf is None:
            fitting = [
                free
                for free in self._that_had(wish)
                if (kind in free.gpus if kind else not (wish and free.machine.gpus))
                and suits(demand, free.machine)
            ]
            shelf = self._narrow[name] = _Shelf(fitting, kind)
            for free in fitting:
                self._narrow_with[free.machine.runner_id].append(shelf)
        return shelf

    def _that_had(self, wish: tuple[str, ...]) -> list[Free]:
        """The machines that had all of it lately, in order; without a wish, all of them."""
        if not wish:
            return self._order
        first, *others = (self._had[key] for key in wish)
        ids = [
            runner_id
            for runner_id in first
            if runner_id in self._rank and all(runner_id in other for other in others)
        ]
        return [self.free[runner_id] for runner_id in sorted(ids, key=self._rank.__getitem__)]

    def offers(self, runner_id: str) -> bool:
        """Whether containers may be placed there."""
        return runner_id in self._rank

    def ordered(self) -> Sequence[Free]:
        """Machines that take work, in the order they are filled."""
        return tuple(self._order)

    def gpus(self) -> tuple[Counter[str], Counter[str]]:
        """Devices by type: all of them, and those nobody holds."""
        total, left = Counter[str](), Counter[str]()
        for free in self.free.values():
            total.update(kind.upper() for kind in free.machine.gpus)
            left.update(free.gpus)
        return total, left


class Soon:
    """What machines will have free once all that ends there has ended, and whom it is kept for."""

    def __init__(self, stock: Stock, ending: Collection[str], stays: Iterable[Taken]) -> None:
        """`ending`: runners with containers that end; `stays`: what the other containers hold."""
        self._stock = stock
        self._free = {
            runner_id: untouched(stock.free[runner_id].machine)
            for runner_id in sorted(ending)
            if stock.offers(runner_id)
        }
        for runner_id, demand, gpu in stays if self._free else ():
            if runner_id in self._free:
                self._free[runner_id].take(demand, gpu)
        self._too_large: set[Demand] = set()

    def take(self, free: Free, demand: Demand, gpu: str) -> None:
        """A container was placed on this machine."""
        soon = self._free.get(free.machine.runner_id)
        if soon is not None:
            soon.take(demand, gpu)

    def keep(self, demand: Demand, allowed: Allowed) -> None:
        """Keep the first machine that will have room for this one, as far as it is needed: who
        comes later is not placed where it would be in the way."""
        if not self._free or demand in self._too_large:
            return
        too_large = True
        for runner_id, soon in self._free.items():
            gpu = fit(demand, soon)
            too_large = too_large and gpu is None
            if gpu is None or (gpu and not allowed(*request(gpu))):
                continue
            soon.take(demand, gpu)
            free = self._stock.free[runner_id]
            free.cpu_m = min(free.cpu_m, soon.cpu_m)
            free.memory_mib = min(free.memory_mib, soon.memory_mib)
            for kind in free.gpus:
                free.gpus[kind] = min(free.gpus[kind], soon.gpus[kind])
            self._stock.changed(free)
            return
        if too_large:
            self._too_large.add(demand)


class _Shelf:
    """Machines in an order, under a tree whose nodes know the most that is free below them."""

    def __init__(self, order: list[Free], kind: str) -> None:
        self._order = order
        self._kind = kind
        self._place = {free.machine.runner_id: place for place, free in enumerate(order)}
        self._leaves = leaves = 1 << max(0, len(order) - 1).bit_length()
        self._cpu_m, self._memory, self._gpus = ([-1] * (2 * leaves) for _ in range(3))
        for place, free in enumerate(order):
            self._write(leaves + place, free)
        for node in range(leaves - 1, 0, -1):
            for most in (self._cpu_m, self._memory, self._gpus):
                most[node] = max(most[2 * node], most[2 * node + 1])
        self._last: dict[tuple[int, int, int], Free | None] = {}

    def first(self, cpu_m: int, memory_mib: int, gpus: int) -> Free | None:
        """The first machine with so much left; None: there is none."""
        asked = (cpu_m, memory_mib, gpus)
        last = self._last.get(asked, self)
        if last is None:
            return None
        if isinstance(last, Free) and self._has(last, asked):
            return last  # all before it had no room then, and have no more now
        found = self._last[asked] = self._search(asked)
        return found

    def changed(self, free: Free) -> None:
        """Less of this machine is free than was."""
        node = self._leaves + self._place[free.machine.runner_id]
        self._write(node, free)
        cpu_m, memory, gpus = self._cpu_m, self._memory, self._gpus
        while node := node >> 1:
            left, right = 2 * node, 2 * node + 1
            most = (
                cpu_m[left] if cpu_m[left] > cpu_m[right] else cpu_m[right],
                memory[left] if memory[left] > memory[right] else memory[right],
                gpus[left] if gpus[left] > gpus[right] else gpus[right],
            )
            if most == (cpu_m[node], memory[node], gpus[node]):
                return
            cpu_m[node], memory[node], gpus[node] = most

    def _search(self, asked: tuple[int, int, int]) -> Free | None:
        least_cpu_m, least_memory, least_gpus = asked
        cpu_m, memory, gpus = self._cpu_m, self._memory, self._gpus
        ahead = [1]
        while ahead:
            node = ahead.pop()
            if cpu_m[node] < least_cpu_m or memory[node] < least_memory or gpus[node] < least_gpus:
                continue
            if node >= self._leaves:
                return self._order[node - self._leaves]
            ahead += (2 * node + 1, 2 * node)
        return None

    def _has(self, free: Free, asked: tuple[int, int, int]) -> bool:
        return (
            free.cpu_m >= asked[0]
            and free.memory_mib >= asked[1]
            and (not self._kind or free.gpus.get(self._kind, 0) >= asked[2])
        )

    def _write(self, node: int, free: Free) -> None:
        self._cpu_m[node] = free.cpu_m
        self._memory[node] = free.memory_mib
        self._gpus[node] = free.gpus.get(self._kind, 0) if self._kind else 0
