"""OpenTelemetry, where it is asked for by its standard variables: spans made here, or told by others.

Nothing of it is imported, and nothing is done, unless `wanted`.
"""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from squall_contracts.traces import Place, Span, place_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as OtelSpan

FILE_VARIABLE: Final = "SQUALL_TRACES_FILE"
"""With OTEL_TRACES_EXPORTER=file: where spans are appended, one JSON object a line."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_MS: Final = 5000


class TracingError(Exception):
    """Raised when traces are asked for and can't be made: one line why."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in _ENDPOINTS)


class Begun:
    """A span under way."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: "OtelSpan") -> None:
        self._span = span
        context = span.get_span_context()
        sampled = context.trace_flags.sampled
        place = Place(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled)
        self.traceparent = str(place)
        """For whoever carries the trace on."""

    def note(self, name: str, value: str) -> None:
        self._span.set_attribute(name, value)

    def end(self, failed: str = "") -> None:
        """It is over; `failed` says with what, if it failed."""
        from opentelemetry.trace import Status, StatusCode

        if failed:
            self._span.set_status(Status(StatusCode.ERROR, failed))
        self._span.end()


class Tracing:
    """Makes and exports spans of one process, and of services that told theirs."""

    def __init__(self, service: str, environment: Mapping[str, str] = os.environ) -> None:
        """`service` names this process unless OTEL_SERVICE_NAME does. TracingError."""
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracingError(
                f"the OTEL_* variables ask for traces, but {error.name} is not installed: "
                "pip install 'squall[otel]', or set OTEL_SDK_DISABLED=true"
            ) from error
        name = environment.get("OTEL_SERVICE_NAME") or f"squall.{service}"
        self._resource = Resource.create({"service.name": name})
        self._processor = BatchSpanProcessor(_exporter(environment))
        self._provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("squall")

    def begin(
        self, name: str, *, kind: str, attributes: Mapping[str, str], parent: str = ""
    ) -> Begun:
        """Begin a span: below `parent`, a traceparent; without one below the span the program is
        in; else as a trace of its own, sampled as the variables say."""
        from opentelemetry.trace import SpanKind

        return Begun(
            self._tracer.start_span(
                name,
                context=_context_of(parent),
                kind=SpanKind[kind.upper()],
                attributes=dict(attributes),
            )
        )

    def tell(self, span: Span, service: str) -> None:
        """Export a span somebody else has made."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(span_id: str) -> SpanContext:
            return SpanContext(
                trace_id=int(span.trace_id, 16),
                span_id=int(span_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
            )

        kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}
        self._processor.on_end(
            ReadableSpan(
                name=span.name,
                context=context(span.span_id),
                parent=context(span.parent_id) if span.parent_id else None,
                resource=self._resource.merge(Resource({"service.name": f"squall.{service}"})),
                attributes=span.attributes,
                kind=kinds.get(span.kind, SpanKind.INTERNAL),
                status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(),
                start_time=span.began_unix_ns,
                end_time=span.ended_unix_ns,
            )
        )

    def close(self) -> None:
        """Export what is left. Blocks for some seconds at most."""
        self._processor.force_flush(_FLUSH_MS)
        self._provider.shutdown()


def _context_of(traceparent: str) -> "Context | None":
    """None: that of the program."""
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    place = place_of(traceparent)
    if place is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    context = SpanContext(int(place.trace_id, 16), int(place.span_id, 16), True, flags)
    return set_span_in_context(NonRecordingSpan(context))


def _exporter(environment: Mapping[str, str]) -> "SpanExporter":
    named = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    if named not in _EXPORTERS:
        known = ", ".join((*_EXPORTERS, "none"))
        raise TracingError(f"OTEL_TRACES_EXPORTER: {named!r} is not one of {known}")
    return _EXPORTERS[named](environment)


def _otlp(environment: Mapping[str, str]) -> "SpanExporter":
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise TracingError(
            f"OTEL_TRACES_EXPORTER=otlp needs {error.name}: pip install 'squall[otel]'"
        ) from error
    return OTLPSpanExporter()


def _console(environment: Mapping[str, str]) -> "SpanExporter":
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=sys.stderr)


def _file(environment: Mapping[str, str]) -> "SpanExporter":
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    path = environment.get(FILE_VARIABLE)
    if not path:
        raise TracingError(f"OTEL_TRACES_EXPORTER=file needs {FILE_VARIABLE}, a path")
    try:
        # For the life of the process: its last spans are written when it ends.
        out = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115, PTH123
    except OSError as error:
        raise TracingError(f"{FILE_VARIABLE}: {path}: {error.strerror}") from error
    return ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")


_EXPORTERS: Final[dict[str, "Callable[[Mapping[str, str]], SpanExporter]"]] = {
    "otlp": _otlp,
    "console": _console,
    "file": _file,
}


def attached(traceparent: str) -> "AbstractContextManager[object] | None":
    """The program's own OpenTelemetry goes on from there within the block; None if it has none."""
    api = sys.modules.get("opentelemetry.trace")
    context = None if api is None else _context_of(traceparent)
    if context is None:
        return None
    return _Attached(context)


class _Attached(AbstractContextManager[object]):
    def __init__(self, context: "Context") -> None:
        self._context = context

    def __enter__(self) -> None:
        from opentelemetry.context import attach

        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        from opentelemetry.context import detach

        detach(self._token)
