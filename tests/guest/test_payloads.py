"""Payloads past the inline limit travel as blobs."""

import asyncio
import hashlib

from squall import _pickling
from squall.exception import DeserializationError
from squall_bus.streams.reading import read as read_stream
from squall_contracts import subjects
from squall_contracts.calls import INLINE_LIMIT_BYTES, BlobRef, Exhausted, Returned, Yielded
from squall_contracts.functions import RetryPolicy
from squall_contracts.message import input_id, new_id

from tests.guest.rig import CLIENT, ENVIRONMENT, Function, Rig


async def put(rig: Rig, value: object, call_id: str) -> BlobRef:
    data = _pickling.dumps(((value,), {}))
    name = f"{call_id}/0"
    digest = hashlib.sha256(data).hexdigest()
    await rig.bus.objects(subjects.BLOBS_BUCKET).put(name, data, sha256=digest)
    return BlobRef(name=name, size_bytes=len(data), sha256=digest)


async def read(rig: Rig, payload: object) -> object:
    assert isinstance(payload, BlobRef)
    data = await rig.bus.objects(subjects.BLOBS_BUCKET).get(payload.name)
    assert hashlib.sha256(data).hexdigest() == payload.sha256
    assert len(data) == payload.size_bytes
    return _pickling.loads(data)


async def test_a_large_result_is_stored_as_a_blob_of_its_call(rig: Rig) -> None:
    function = await rig.function("big")
    await function.guest()
    call = await function.call(20_000_000)
    outcome = await call.outcome()
    assert isinstance(outcome, Returned)
    assert await read(rig, outcome.payload) == bytes(20_000_000)
    assert isinstance(outcome.payload, BlobRef)
    call_id = next(key for key, value in rig.calls.items() if value is call)
    assert outcome.payload.name.startswith(f"{call_id}/0.0.")
    await function.settled()


async def test_a_result_at_the_limit_travels_inline(rig: Rig) -> None:
    function = await rig.function("big")
    await function.guest()
    overhead = len(_pickling.dumps(bytes(INLINE_LIMIT_BYTES))) - INLINE_LIMIT_BYTES
    outcome = await (await function.call(INLINE_LIMIT_BYTES - overhead)).outcome()
    assert isinstance(outcome.payload, bytes)
    outcome = await (await function.call(INLINE_LIMIT_BYTES - overhead + 1)).outcome()
    assert isinstance(outcome.payload, BlobRef)


async def test_large_arguments_are_fetched(rig: Rig) -> None:
    function = await rig.function("length")
    await function.guest()
    call_id = new_id("fc")
    blob = await put(rig, bytes(20_000_000), call_id)
    call = await function.group([blob], "now", call_id)
    assert await call.value() == 20_000_000
    await function.settled()


async def test_many_large_arguments_do_not_block_each_other(rig: Rig) -> None:
    function = await rig.function("length")
    await function.guest()
    calls = []
    for _ in range(12):
        call_id = new_id("fc")
        calls.append(
            await function.group([await put(rig, bytes(2_000_000), call_id)], "bulk", call_id)
        )
    for call in calls:
        assert await call.value() == 2_000_000
    await function.settled()


async def failing(function: Function, blob: BlobRef, call_id: str) -> DeserializationError:
    failure = await (await function.group([blob], "now", call_id)).failure()
    assert failure.kind == "arguments"
    error = _pickling.loads(failure.pickled)
    assert isinstance(error, DeserializationError)
    return error


async def test_arguments_whose_blob_is_gone_or_another_fail_their_input(rig: Rig) -> None:
    function = await rig.function("length")
    await function.guest()
    call_id = new_id("fc")
    blob = await put(rig, bytes(1_000_000), call_id)
    gone = BlobRef(name="fc-none/0", size_bytes=1, sha256="0" * 64)
    assert "not in the blob store" in str(await failing(function, gone, new_id("fc")))
    other = BlobRef(name=blob.name, size_bytes=blob.size_bytes, sha256="0" * 64)
    assert "are not those sent" in str(await failing(function, other, call_id))
    assert await (await function.call(b"abc")).value() == 3


async def test_what_a_spawned_call_brought_along_goes_with_it(rig: Rig) -> None:
    function = await rig.function("length", retry=RetryPolicy(max_retries=1, initial_delay_s=0.1))
    await function.guest()
    call_id, failed_id, waited_id = new_id("fc"), new_id("fc"), new_id("fc")
    blobs = [await put(rig, bytes(1_000_000), each) for each in (call_id, waited_id)]
    without_length = await put(rig, 1, failed_id)
    assert await (await function.group([blobs[0]], "now", call_id, spawned=True)).value() == 10**6
    assert await (await function.group([blobs[1]], "now", waited_id)).value() == 10**6
    failed = await function.group([without_length], "now", failed_id, spawned=True)
    assert (await failed.failure()).exception_type == "TypeError"
    await function.settled()
    objects = rig.bus.objects(subjects.BLOBS_BUCKET)
    # Of a call somebody waits for the client removes it; a letter has a copy of its own.
    kept = {f"dead/{input_id(failed_id, 0)}", f"{waited_id}/0"}
    brought = kept | {f"{call_id}/0", f"{failed_id}/0"}
    async with asyncio.timeout(30):
        while {info.name for info in await objects.list()} & brought != kept:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_results_of_spawned_calls_are_kept_as_long_as_their_function_says(rig: Rig) -> None:
    brief = await rig.function("big", result_ttl_s=50.0)
    usual = await rig.function("big")
    for function, expected in ((brief, "50s"), (usual, "604800s")):
        await function.guest()
        call_id = new_id("fc")
        payload = _pickling.dumps(((1_000_000,), {}))
        outcome = await (await function.group([payload], "now", call_id, spawned=True)).outcome()
        assert isinstance(outcome.payload, BlobRef)
        info = await rig.bus.objects(subjects.BLOBS_BUCKET).info(outcome.payload.name)
        assert info is not None
        chunks = read_stream(rig.bus, "OBJ_blobs", f"$O.blobs.C.{info.nuid}")
        assert [chunk.headers["Nats-TTL"] async for chunk in chunks] == [expected] * info.chunks
        await function.settled()  # heard of before it is stored
        subject = subjects.result(ENVIRONMENT, CLIENT, call_id)
        result = await rig.bus.admin.last_message(subjects.RESULTS, subject)
        assert result is not None
        assert result.headers.get("Nats-TTL") == ("50s" if function is brief else None)


async def test_large_yielded_items_keep_their_order(rig: Rig) -> None:
    function = await rig.function("count", is_generator=True)
    await function.guest()
    call = await function.call(6, size=2_000_000)
    assert await call.outcome() == Exhausted(0, 6)
    items = [report for report in call.reports if isinstance(report, Yielded)]
    assert [item.position for item in items] == list(range(6))
    for item in items:
        assert await read(rig, item.payload) == bytes(2_000_000)


async def test_a_fast_generator_of_small_items_is_bounded_by_what_is_stored(rig: Rig) -> None:
    function = await rig.function("count", is_generator=True)
    guest = await function.guest()
    call = await function.call(3000, size=100_000)
    assert await call.outcome() == Exhausted(0, 3000)
    status = await _peak_mib(guest.process.pid)
    assert status < 400


async def _peak_mib(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:  # noqa: ASYNC230, PTH123
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
