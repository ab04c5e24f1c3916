"""What a runner shows of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.containers = Gauge(
            "squall_runner_containers", "Containers that run here.", registry=registry
        )
        self.starts = Histogram(
            "squall_runner_start_seconds",
            "From the command to start a container until its guest runs.",
            buckets=SECONDS,
            registry=registry,
        )
        self.ended = Counter(
            "squall_runner_ended", "Containers that ended, however they did.", registry=registry
        )
