"""A container's start as spans of the call that waited for it. Pure."""

import hashlib
from typing import Final

from squall_contracts.placement import ContainerRecord
from squall_contracts.traces import Span

WAITED_NS: Final = 2_000_000_000
"""An input that is run later than this after its container got ready did not wait for the start."""
_STEPS: Final = (
    ("container.place", "scheduler", "requested", "placed"),
    ("container.start", "runner", "placed", "starting"),
    ("container.prepare", "guest", "starting", "ready"),
)


def start_spans(record: ContainerRecord, run: Span) -> list[tuple[Span, str]]:
    """Spans of the steps of `record`'s start, each with the service whose work it was, beside
    `run`, the first input of the container. None where that input did not wait for it."""
    since = record.since_unix_s
    ready = since.get("ready")
    if ready is None or run.began_unix_ns - int(ready * 1e9) > WAITED_NS:
        return []
    found = []
    for name, service, begin, end in _STEPS:
        if begin not in since or end not in since:
            continue
        attributes = {
            "squall.container_id": record.container_id,
            "squall.function": record.function_name,
        }
        if service == "runner":
            attributes |= {"squall.runner_id": record.runner_id, "squall.start_path": record.path}
            attributes |= {
                f"squall.phase.{key}_ms": f"{ms:.1f}" for key, ms in record.phases_ms.items()
            }
        span = Span(
            name,
            run.trace_id,
            hashlib.blake2b(f"{record.container_id}.{name}".encode(), digest_size=8).hexdigest(),
            run.parent_id,
            int(since[begin] * 1e9),
            int(since[end] * 1e9),
            attributes=attributes,
        )
        found.append((span, service))
    return found
