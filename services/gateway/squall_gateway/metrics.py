"""What the gateway shows of itself."""

import time
from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import CollectorRegistry, Histogram
from squall_bus.errors import SquallRefusal
from squall_contracts import subjects
from squall_contracts.failures import Refused
from squall_contracts.verbs import VERBS

SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Histogram(
            "squall_gateway_request_seconds",
            "Requests of the control API, by verb and outcome (ok, or the kind of the refusal).",
            ["verb", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )

    def timed(
        self, answer: Callable[[str, msgspec.Raw], Awaitable[object]]
    ) -> Callable[[str, msgspec.Raw], Awaitable[object]]:
        """`answer`, with each request observed."""

        async def observed(subject: str, body: msgspec.Raw) -> object:
            began_s, outcome = time.monotonic(), "failed"
            try:
                reply = await answer(subject, body)
                outcome = reply.kind if isinstance(reply, Refused) else "ok"
                return reply
            except SquallRefusal as refusal:
                outcome = refusal.kind
                raise
            finally:
                name = subjects.last(subject)
                verb = name if name in VERBS else "unknown"  # clients choose the name
                took_s = time.monotonic() - began_s
                self.requests.labels(verb, outcome).observe(took_s)

        return observed
