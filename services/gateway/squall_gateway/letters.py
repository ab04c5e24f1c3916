"""Dead letters as the gateway handles them, for the REST API and the dashboard alike."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from squall_bus.bus import Bus
from squall_bus.errors import DigestMismatch, ObjectMissing, SquallRefusal
from squall_contracts import apps, subjects, verbs
from squall_contracts.calls import INLINE_LIMIT_BYTES, BlobRef, Payload
from squall_contracts.dead import DeadLetter
from squall_contracts.message import decode

Ask = Callable[[str, verbs.Verb, Any], Awaitable[Any]]
"""(account, verb, request) -> reply; SquallRefusal."""


async def find(bus: Bus, environment: str, letter_id: str) -> DeadLetter | None:
    """One by its id; None: it is gone. BusError; ValueError: nothing can have that id."""
    subject = subjects.dead_letter(environment, letter_id)
    message = await bus.admin.next_message(subjects.DEAD, subject)
    return None if message is None else decode(message.data, DeadLetter)


async def remove(bus: Bus, letter: DeadLetter) -> None:
    """Throw it away, with the arguments it keeps. BusError."""
    subject = subjects.dead(letter.environment, letter.function_id, letter.letter_id)
    await bus.admin.purge(subjects.DEAD, subject)
    if isinstance(letter.payload, BlobRef):
        await bus.objects(subjects.BLOBS_BUCKET).delete(letter.payload.name)


async def target(ask: Ask, account: str, letter: DeadLetter, *, app_runs: bool) -> str:
    """The id to send it to: the function itself while its app runs, else the deployed one of that
    name; of a pool, the pool. SquallRefusal."""
    function_id = letter.declared_id or letter.function_id
    if not app_runs:
        wanted = apps.FindFunction(
            environment=letter.environment, app=letter.app_name, name=letter.function_name
        )
        found: apps.FoundFunction = await ask(account, verbs.FIND_FUNCTION, wanted)
        function_id = found.function_id
    if letter.declared_id:
        pool = apps.BindPool(
            function_id=function_id, arguments=letter.arguments, variant=letter.variant
        )
        bound: apps.BoundPool = await ask(account, verbs.BIND_POOL, pool)
        function_id = bound.function_id
    return function_id


async def arguments(bus: Bus, letter: DeadLetter, call_id: str) -> Payload:
    """Its arguments as a new call's own; what fits travels with it. SquallRefusal, BusError."""
    payload = letter.payload
    if isinstance(payload, bytes):
        return payload
    objects = bus.objects(subjects.BLOBS_BUCKET)
    name = f"{call_id}/0"
    try:
        if payload.size_bytes <= INLINE_LIMIT_BYTES:
            return await objects.get(payload.name, sha256=payload.sha256)
        await objects.put(name, objects.stream(payload.name), sha256=payload.sha256)
    except (ObjectMissing, DigestMismatch) as error:
        raise SquallRefusal("not_found", f"its arguments are no longer kept: {error}") from error
    return msgspec.structs.replace(payload, name=name)
