"""Payloads past the inline limit travel as blobs."""

import hashlib

from squall import _pickling
from squall.exception import DeserializationError
from squall_contracts import subjects
from squall_contracts.calls import INLINE_LIMIT_BYTES, BlobRef, Exhausted, Returned, Yielded
from squall_contracts.message import new_id

from tests.guest.rig import Function, Rig


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
