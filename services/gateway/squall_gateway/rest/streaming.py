"""A call's stream: a generator's items as server-sent events, each once and in order."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import msgspec
from aiohttp import web
from squall_bus.bus import Bus
from squall_bus.streams.reading import read
from squall_bus.tasks import Tasks
from squall_contracts.calls import Report, Retrying, Yielded
from squall_contracts.forms import is_json

from squall_gateway.rest import lookup
from squall_gateway.rest.asking import Ask
from squall_gateway.rest.outcomes import ended, outcome_in, payload_of
from squall_gateway.rest.problems import ProblemError
from squall_gateway.web.bodies import REQUEST_ID

BEAT_S: Final = 15.0
"""How often a comment says that the stream lives while nothing else does."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Data of an `item` event; its id is the item's position."""

    position: int
    value: object = None
    form: str = "json"


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Data of a `retrying` event."""

    attempt: int
    delay_s: float
    message: str


def event(name: str, data: object, event_id: int | None = None) -> bytes:
    """One event as it is sent; JSON has no line breaks."""
    head = f"event: {name}\n" + ("" if event_id is None else f"id: {event_id}\n")
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\n\n"


def position_after(last_event_id: str) -> int:
    """Where a client that heard so far goes on. ProblemError."""
    if not last_event_id:
        return 0
    if not last_event_id.isdecimal() or len(last_event_id) > 18:
        raise ProblemError(422, "Last-Event-ID: send the id of an event of this stream")
    return int(last_event_id) + 1


async def stream(ask: Ask, bus: Bus) -> web.StreamResponse:
    """Send the events of a call until it has ended. ProblemError 404."""
    call_id = ask.path["call_id"]
    after = position_after(str(ask.given.get("Last-Event-ID", "")))
    place = await lookup.results_to_come(bus, ask.environment, call_id)
    reply = web.StreamResponse(headers={REQUEST_ID: ask.asked.request_id})
    reply.content_type = "text/event-stream"
    reply.headers["Cache-Control"] = "no-store"
    reply.headers["X-Accel-Buffering"] = "no"
    await reply.prepare(ask.asked.request)
    if ask.asked.request.method == "HEAD":
        await reply.write_eof()
        return reply
    tasks = Tasks()
    tasks.spawn(_beat(reply), "heartbeat of a stream")
    try:
        async with aclosing(_events(bus, call_id, place, after)) as events:
            async for each in events:
                await reply.write(each)
    finally:
        await tasks.close()
    await reply.write_eof()
    return reply


async def _beat(reply: web.StreamResponse) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        await reply.write(b": the call goes on\n\n")


async def _events(
    bus: Bus, call_id: str, place: tuple[str, str], position: int
) -> AsyncGenerator[bytes, None]:
    async with aclosing(read(bus, *place, follow=True)) as messages:
        async for message in messages:
            items = lookup.read_results(message.data).items
            for report in items:
                if isinstance(report, Yielded) and report.position == position:
                    position += 1
                    yield await _item(bus, call_id, report)
                elif isinstance(report, Retrying):
                    yield event("retrying", _again(report))
            outcome = outcome_in(items, 0)
            if outcome is not None:
                yield event("done", await ended(bus, call_id, outcome))
                return


async def _item(bus: Bus, call_id: str, report: Yielded) -> bytes:
    payload = await payload_of(bus, call_id, report.payload)
    item = Item(position=report.position, form="pickle")
    if is_json(payload):
        item = Item(position=report.position, value=msgspec.Raw(payload))
    return event("item", item, report.position)


def _again(report: Report) -> Again:
    assert isinstance(report, Retrying)
    return Again(attempt=report.attempt, delay_s=report.delay_s, message=report.message)
