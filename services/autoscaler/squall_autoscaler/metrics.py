"""What the autoscaler shows of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.functions = Gauge(
            "squall_autoscaler_functions", "Functions being watched.", registry=registry
        )
        self.hints = Counter(
            "squall_autoscaler_hints", "Words from clients that an input waits.", registry=registry
        )
        self.targets = Counter(
            "squall_autoscaler_targets",
            "Decisions written, by direction (up, down).",
            ["direction"],
            registry=registry,
        )
