"""All machines under indexes, so that one with room is found without looking at each. Pure.

A round only ever takes: what did not fit once does not fit later in it. That makes answers
rememberable, and a tree of maxima finds the first machine with room in log n.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from squall_scheduler.capacity import ANY, Demand, Free, Machine, request, room, untouched
from squall_scheduler.nearness import Nearness

Taken = tuple[str, Demand, str]
"""Runner id, what is taken of it, and the GPU request it honours."""


class Stock:
    """What is free. Machines with GPUs come last for what needs none, and within that order the
    machine that was fullest when the round began is filled first; ties go to the lower id."""

    def __init__(
        self, machines: Iterable[Machine], taken: Iterable[Taken] = (), *, draining: bool = False
    ) -> None:
        """`draining`: offer machines that drain, too."""
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
        self._near = Nearness(self._order)
        kinds = {kind for free in self._order for kind in free.gpus}
        self._shelves = {
            kind: _Shelf([f for f in self._order if kind in f.gpus], kind) for kind in kinds
        }

    def find(
        self,
        demand: Demand,
        allowed: Callable[[str, int], bool] | None = None,
        function_id: str = "",
    ) -> tuple[Free, str] | None:
        """A machine and the GPU request it honours, a better GPU before a fuller machine; None: it
        fits nowhere. `allowed` says which GPUs, by type and count, may be given at all. Without
        GPUs a machine that can start the function sooner comes before a fuller one."""
        if not demand.gpus:
            near = self._near.find(function_id, demand)
            if near is not None:
                return near, ""
            found = self._plain.first(demand.cpu_m, demand.memory_mib, 0)
            return None if found is None else (found, "")
        for gpu in demand.gpus:
            kind, count = request(gpu)
            options = [
                (self._rank[free.machine.runner_id], name, free)
                for name in (sorted(self._shelves) if kind == ANY else (kind,))
                if name in self._shelves
                and (allowed is None or allowed(name, count))
                and (free := self._shelves[name].first(demand.cpu_m, demand.memory_mib, count))
                is not None
            ]
            if options:
                _, name, free = min(options, key=lambda option: option[:2])
                return free, f"{name}:{count}"
        return None

    def take(self, free: Free, demand: Demand, gpu: str) -> None:
        free.take(demand, gpu)
        self._plain.changed(free)
        for kind in free.gpus:
            self._shelves[kind].changed(free)

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
            and (not self._kind or free.gpus[self._kind] >= asked[2])
        )

    def _write(self, node: int, free: Free) -> None:
        self._cpu_m[node] = free.cpu_m
        self._memory[node] = free.memory_mib
        self._gpus[node] = free.gpus[self._kind] if self._kind else 0
