"""Telling the machines that will likely run a deployed function, before anybody calls it."""

import asyncio
from collections.abc import Sequence

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_contracts import subjects
from squall_contracts.functions import FunctionRecord, can_run
from squall_contracts.placement import ENDED, PrepareStart

from squall_scheduler.capacity import Demand, demand_of, fit
from squall_scheduler.core import Cluster, awake
from squall_scheduler.stock import Stock
from squall_scheduler.world import World

log = structlog.get_logger()


def is_due(before: FunctionRecord | None, now: FunctionRecord) -> bool:
    """Whether a change in the registry is a deploy of something containers will run. A class's
    pool comes with its first call: there is nothing left to do ahead of it."""
    if now.ephemeral or now.bound_to or not can_run(now.spec):
        return False
    return before is None or before.version != now.version


def likely(demand: Demand, stock: Stock, most: int) -> list[str]:
    """The machines the function's first containers would be placed on, at most so many."""
    return [free.machine.runner_id for free in stock.ordered() if fit(demand, free) is not None][
        :most
    ]


def once_per_image(functions: Sequence[FunctionRecord]) -> list[FunctionRecord]:
    """Those worth telling of: functions of one image share what is prepared, unless each has a
    snapshot of its own."""
    told = set[tuple[object, ...]]()
    chosen = []
    for function in functions:
        spec = function.spec
        shared = function.workspace, spec.image_id, spec.block_network, spec.resources.gpus
        if spec.memory_snapshot or shared not in told:
            chosen.append(function)
        told.add(shared)
    return chosen


class Prefetching:
    """Sends PrepareStart to likely machines, deploy by deploy."""

    def __init__(self, bus: Bus, world: World, *, machines: int) -> None:
        """`machines`: how many are told of a function; 0: none."""
        self._bus = bus
        self._world = world
        self._machines = machines
        self._due: dict[str, FunctionRecord] = {}
        self._news = asyncio.Event()

    def on_function(self, before: FunctionRecord | None, now: FunctionRecord) -> None:
        """A function came or changed, after the scheduler knew all of them."""
        if self._machines and is_due(before, now):
            self._due[now.function_id] = now
            self._news.set()

    async def run(self) -> None:
        """Tell, until cancelled. What can't be told costs a slower first call, no more."""
        while True:
            await self._news.wait()
            self._news.clear()
            due, self._due = list(self._due.values()), {}
            cluster = self._world.cluster()
            stock = _stock(cluster, self._world.clock())
            for function in once_per_image(due):
                for runner_id in likely(demand_of(function.spec.resources), stock, self._machines):
                    await self._tell(runner_id, function)

    async def _tell(self, runner_id: str, function: FunctionRecord) -> None:
        message = PrepareStart(start=self._world.start_of("", function))
        msg_id = f"{function.function_id}.{function.version}.{runner_id}"
        try:
            await self._bus.store(subjects.command(runner_id), message, msg_id=msg_id)
        except BusError as error:
            log.warning("runner.not_told", function_id=function.function_id, error=str(error))


def _stock(cluster: Cluster, now_s: float) -> Stock:
    taken = [
        (held.runner_id, held.demand, held.gpu)
        for held in cluster.containers
        if held.state != "requested" and held.state not in ENDED
    ]
    return Stock(awake(cluster, now_s), taken)
