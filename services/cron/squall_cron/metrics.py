"""What cron shows of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATE_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0, 600.0, 3600.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.schedules = Gauge(
            "squall_cron_schedules", "Schedules of deployed functions.", registry=registry
        )
        self.fired = Counter("squall_cron_fired", "Calls made on time or late.", registry=registry)
        self.skipped = Counter(
            "squall_cron_skipped",
            "Due times left out while the call before was not done.",
            registry=registry,
        )
        self.late = Histogram(
            "squall_cron_late_seconds",
            "Between a due time and the store of its call.",
            buckets=LATE_S,
            registry=registry,
        )
