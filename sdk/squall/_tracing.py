"""Spans of calls: made by OpenTelemetry where its variables ask for it, told to the gateway from
inside containers. Where neither is so, nothing is done."""

import atexit
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from squall_contracts.traces import Place, Span, place_of

from squall import _context

if TYPE_CHECKING:
    from squall_bus.tracing import Tracing

    from squall._calling.unary import Target

WANTED: Final = any(name.startswith("OTEL_") for name in os.environ)
"""Whether the variables are worth a look: without any of them nobody traces this process."""


class Outgoing(Protocol):
    """The span of a call that was made here."""

    traceparent: str

    def end(self, failed: str = "") -> None: ...


class _Here:
    """What this process has for traces."""

    tracing: "Tracing | None" = None
    looked = False
    tell: Callable[[Span], None] | None = None


def tell_by(tell: Callable[[Span], None]) -> None:
    """This is a container, whose spans go that way. `tell` is called from any thread."""
    _Here.tell = tell


def outgoing(what: str, target: "Target", call_id: str) -> Outgoing | None:
    """A call begins: `what` is `remote`, `map` and so on. None: it is not traced."""
    running = _context.running.get()
    if running is not None and running.trace:
        place = place_of(running.trace)
        if place is None or not place.sampled:
            return None
        return Told(f"{what} {target.name}", place, "client", _attributes(target, call_id))
    if not WANTED or running is not None:
        return None
    tracing = _tracing()
    if tracing is None:
        return None
    attributes = _attributes(target, call_id)
    return tracing.begin(f"{what} {target.name}", kind="client", attributes=attributes)


def _attributes(target: "Target", call_id: str) -> dict[str, str]:
    return {
        "squall.call_id": call_id,
        "squall.function": target.name,
        "squall.function_id": target.function_id,
        "squall.environment": target.environment,
    }


def _tracing() -> "Tracing | None":
    if not _Here.looked:
        _Here.looked = True
        from squall_bus import tracing

        if tracing.wanted(os.environ):
            from squall.exception import InvalidError

            try:
                _Here.tracing = tracing.Tracing("client")
            except tracing.TracingError as error:
                _Here.looked = False
                raise InvalidError(str(error)) from error
            atexit.register(_Here.tracing.close)
    return _Here.tracing


class Told:
    """A span that this container tells when it is over."""

    __slots__ = (
        "_attributes",
        "_began_unix_ns",
        "_kind",
        "_name",
        "_parent",
        "_place",
        "traceparent",
    )

    def __init__(self, name: str, parent: Place, kind: str, attributes: dict[str, str]) -> None:
        self._name = name
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._place = Place(parent.trace_id, os.urandom(8).hex())
        self.traceparent = str(self._place)
        self._began_unix_ns = time.time_ns()

    def end(self, failed: str = "") -> None:
        if _Here.tell is not None:
            _Here.tell(
                Span(
                    self._name,
                    self._place.trace_id,
                    self._place.span_id,
                    self._parent.span_id,
                    self._began_unix_ns,
                    time.time_ns(),
                    self._kind,
                    failed,
                    self._attributes,
                )
            )


class Traced:
    """Around an input that is part of a trace, in its container."""

    def __init__(self, name: str, traceparent: str, attributes: dict[str, str]) -> None:
        self.span: Told | None = None
        self._attached: Any = None
        place = place_of(traceparent)
        if place is not None and place.sampled:
            self.span = Told(name, place, "server", attributes)

    @property
    def traceparent(self) -> str:
        """What calls made meanwhile are below."""
        return "" if self.span is None else self.span.traceparent

    def begin(self) -> None:
        from squall_bus.tracing import attached

        self._attached = attached(self.traceparent)
        if self._attached is not None:
            self._attached.__enter__()

    def end(self, error: BaseException | None) -> None:
        if self._attached is not None:
            self._attached.__exit__(None, None, None)
        if self.span is not None:
            self.span.end("" if error is None else f"{type(error).__name__}: {error}"[:500])
