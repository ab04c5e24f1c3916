"""What the builder shows of itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.building = Gauge(
            "squall_builder_building", "Images being built now.", registry=registry
        )
        self.orders = Counter(
            "squall_builder_orders",
            "Orders answered, by the state the image came to (ready, failed).",
            ["state"],
            registry=registry,
        )
        self.seconds = Histogram(
            "squall_builder_order_seconds",
            "From taking an order to its answer; short ones found the image there.",
            buckets=SECONDS,
            registry=registry,
        )
