"""What the scheduler shows of itself: counted when asked, from the world it decides on."""

from collections import Counter as Count
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from squall_contracts.placement import ENDED

from squall_scheduler.world import World

ROUND_S = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class Metrics(Collector):
    def __init__(self, registry: CollectorRegistry) -> None:
        self.world: World | None = None
        """What this replica decides on; None while another leads."""
        self.rounds = Histogram(
            "squall_scheduler_round_seconds",
            "Deciding once, and writing what was decided.",
            buckets=ROUND_S,
            registry=registry,
        )
        registry.register(self)

    @contextmanager
    def of(self, world: World) -> Iterator[None]:
        """Show `world` within the block."""
        self.world = world
        try:
            yield
        finally:
            self.world = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        world = self.world
        leads = GaugeMetricFamily(
            "squall_scheduler_leads", "1 in the replica that decides.", value=world is not None
        )
        containers = GaugeMetricFamily(
            "squall_scheduler_containers",
            "Containers that have not ended, by state; those requested wait for a machine.",
            labels=["state"],
        )
        machines = GaugeMetricFamily(
            "squall_scheduler_machines", "Runners whose lease stands.", value=0
        )
        broken = GaugeMetricFamily(
            "squall_scheduler_open_breakers",
            "Functions given up for now, as their containers don't start.",
            value=0,
        )
        if world is not None:
            states = Count(each.state for each in world.ledger.containers.values())
            for state, count in sorted(states.items()):
                if state not in ENDED:
                    containers.add_metric([state], count)
            machines.samples[0] = machines.samples[0]._replace(value=len(world.runners))
            opened = sum(faults.open for faults in world.memory.all_faults().values())
            broken.samples[0] = broken.samples[0]._replace(value=opened)
        yield from (leads, containers, machines, broken)
