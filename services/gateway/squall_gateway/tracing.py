"""Traces: spans of web requests made here, and those that containers tell of, exported."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

import structlog
from squall_bus import tracing
from squall_bus.service import Context
from squall_bus.settings import SettingsError
from squall_bus.subscriptions import Delivery
from squall_contracts import subjects, terminal_subjects
from squall_contracts.placement import ContainerRecord
from squall_contracts.traces import Span, SpansTold

from squall_gateway.starts import start_spans

log = structlog.get_logger()

QUEUE: Final = "gateway-spans"
REMEMBERED: Final = 4096
"""Containers whose start is told once."""

carried: ContextVar[str] = ContextVar("squall_gateway_trace", default="")
"""The traceparent of the web request that is being answered; empty: it isn't traced."""


class Traces:
    """Does nothing unless the OTEL_* variables ask for traces."""

    def __init__(self, context: Context, environment: Mapping[str, str] = os.environ) -> None:
        """SettingsError: they ask for what can't be."""
        self._context = context
        self._told: OrderedDict[str, None] = OrderedDict()
        self._tracing: tracing.Tracing | None = None
        try:
            if tracing.wanted(environment):
                self._tracing = tracing.Tracing("gateway", environment)
        except tracing.TracingError as error:
            raise SettingsError(str(error)) from error

    @property
    def are_wanted(self) -> bool:
        """Whether `request` does anything."""
        return self._tracing is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Hear containers within the block; what is left is exported at its end."""
        if self._tracing is None:
            yield
            return
        hearing = await self._context.bus.subscribe(
            terminal_subjects.SPANS_ALL, self._hear, queue=QUEUE
        )
        try:
            yield
        finally:
            await hearing.close()
            await asyncio.to_thread(self._tracing.close)

    @contextmanager
    def request(self, name: str, parent: str) -> Iterator[tracing.Begun | None]:
        """A web request is answered within the block; `parent`: what it says it is part of."""
        if self._tracing is None:
            yield None
            return
        begun = self._tracing.begin(name, kind="server", attributes={}, parent=parent)
        token = carried.set(begun.traceparent)
        try:
            yield begun
        except BaseException as error:
            begun.end(type(error).__name__)
            raise
        else:
            begun.end()
        finally:
            carried.reset(token)

    async def _hear(self, delivery: Delivery) -> None:
        assert self._tracing is not None, "it hears"
        told = delivery.decode(SpansTold)
        account = subjects.speaker(delivery.subject)
        if subjects.last(delivery.subject) != told.container_id:
            return
        for span in told.spans:
            self._tracing.tell(span, "guest")
        begun = next((span for span in told.spans if span.kind == "server"), None)
        if begun is not None and self._is_new(told.container_id):
            for span, service in await self._start(account, told.container_id, begun):
                self._tracing.tell(span, service)

    def _is_new(self, container_id: str) -> bool:
        if container_id in self._told:
            return False
        self._told[container_id] = None
        while len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True

    async def _start(self, account: str, container_id: str, run: Span) -> list[tuple[Span, str]]:
        records = self._context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        entry = await records.get(container_id)
        if entry is None or entry.value.workspace != account:
            return []
        return start_spans(entry.value, run)
