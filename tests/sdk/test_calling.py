"""Calls end to end over a real server: what each form sends, and what comes back."""

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import squall
from squall import _client, _sync, exception
from squall_contracts import apps
from squall_contracts.calls import Raised
from squall_contracts.failures import Failure

from . import functions as f
from .platform import Platform


@pytest.fixture(autouse=True)
def running(platform: Platform) -> Iterator[None]:
    platform.functions = {name: function.raw for name, function in f.app.functions.items()}
    with f.app.run():
        yield


def test_remote_returns_what_the_function_returned() -> None:
    assert f.square.remote(7) == 49
    assert f.add.remote(1, b=2) == 3


def test_an_async_function_is_awaited_in_the_container() -> None:
    assert f.half.remote(3) == 1.5


def test_calling_it_runs_it_here(platform: Platform) -> None:
    assert f.square(3) == f.square.local(3) == 9
    assert platform.batches == []


async def test_remote_works_from_a_loop_of_the_users_own() -> None:
    assert await f.square.remote.aio(4) == 16
    assert await asyncio.gather(*(f.square.remote.aio(i) for i in range(50))) == [
        i * i for i in range(50)
    ]


async def test_blocking_in_a_loop_warns() -> None:
    with pytest.warns(exception.AsyncUsageWarning, match=r"square\.remote\.aio"):
        assert f.square.remote(2) == 4


def test_an_exception_keeps_its_type_and_shows_the_remote_frames() -> None:
    with pytest.raises(f.OddError, match="3 is odd") as caught:
        f.fail_if_odd.remote(3)
    names = [str(entry.path) for entry in caught.traceback]
    assert names[-1].startswith("<ct-test>:")
    assert caught.traceback[-1].name == "fail_if_odd"


def test_arguments_that_cannot_be_pickled_are_named() -> None:
    with pytest.raises(exception.SerializationError, match=r"add\(\): argument 'b' \(a lock\)"):
        f.add.remote(1, b=threading.Lock())  # type: ignore[arg-type]


def test_a_result_that_cannot_be_read_here_says_why(platform: Platform) -> None:
    platform.functions["square"] = lambda x: _Foreign()
    with pytest.raises(exception.ExecutionError, match="no_such_module"):
        f.square.remote(1)


class _Foreign:
    def __reduce__(self) -> tuple[object, ...]:
        return _import, ("no_such_module",)


def _import(name: str) -> object:
    import importlib

    return importlib.import_module(name)


def test_large_arguments_and_results_travel_as_blobs_and_are_removed(platform: Platform) -> None:
    assert f.size_of.remote(b"x" * 3_000_000) == 3_000_000
    assert f.blob.remote(2_000_000) == b"x" * 2_000_000
    _until_no_blobs(platform)


def test_large_values_in_a_map_are_removed_too(platform: Platform) -> None:
    assert list(f.blob.map([600_000] * 3)) == [b"x" * 600_000] * 3
    assert list(f.size_of.map([b"x" * 600_000] * 3)) == [600_000] * 3
    _until_no_blobs(platform)


def _until_no_blobs(platform: Platform) -> None:
    deadline = time.monotonic() + 30
    while left := platform.do(platform.blobs()):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_nested_calls_know_their_input() -> None:
    call = f.who.spawn()
    input_id, call_id = call.get()
    assert call_id == call.object_id
    assert input_id == f"in-{call.object_id.removeprefix('fc-')}-0"
    assert squall.current_input_id() is None


def test_an_interrupted_caller_cancels_its_call(platform: Platform) -> None:
    async def give_up() -> None:
        platform.hold.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(f.square.remote.aio(1), 0.2)

    asyncio.run(give_up())
    platform.hold.set()
    deadline = time.monotonic() + 30
    while not any(isinstance(each, apps.CancelCall) for each in platform.asked):
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- map ------------------------------------------------------------------------------------------


def test_map_keeps_the_order_of_its_inputs() -> None:
    assert list(f.square.map(range(2000))) == [i * i for i in range(2000)]


def test_map_zips_and_takes_keywords() -> None:
    assert list(f.add.map([1, 2, 3], [10, 20])) == [11, 22]
    assert list(f.add.map([1, 2], kwargs={"b": 5})) == [6, 7]
    assert list(f.add.starmap([(1, 2), (3, 4)])) == [3, 7]


def test_map_of_nothing_ends_at_once() -> None:
    assert list(f.square.map([])) == []


def test_map_without_order_yields_each_result_once() -> None:
    assert sorted(f.square.map(range(300), order_outputs=False)) == [i * i for i in range(300)]


def test_map_raises_the_first_failure() -> None:
    with pytest.raises(f.OddError):
        list(f.fail_if_odd.map([2, 4, 5, 6]))


def test_map_returns_exceptions_in_their_place() -> None:
    results = list(f.fail_if_odd.map([2, 3, 4], return_exceptions=True))
    assert results[0] == 2
    assert isinstance(results[1], f.OddError)
    assert results[2] == 4


def test_an_error_in_the_input_iterator_surfaces() -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(f.square.map(inputs()))


def test_a_map_feeds_another() -> None:
    assert list(f.square.map(f.square.map(range(20)))) == [i**4 for i in range(20)]


def test_inputs_are_pulled_on_the_callers_thread_while_outputs_are_yielded() -> None:
    threads: set[int] = set()
    pulled = 0

    def inputs() -> Iterator[int]:
        nonlocal pulled
        for i in range(5000):
            threads.add(threading.get_ident())
            pulled += 1
            yield i

    results = iter(f.square.map(inputs()))
    assert next(results) == 0
    assert pulled < 5000
    assert list(results)[-1] == 4999**2
    assert threads == {threading.get_ident()}


def test_tiny_inputs_are_grouped_but_not_those_with_retries(platform: Platform) -> None:
    assert sum(f.square.map(range(5000))) == sum(i * i for i in range(5000))
    assert max(platform.batches) > 1
    platform.batches.clear()
    assert list(f.retried.map(range(500))) == list(range(500))
    assert max(platform.batches) == 1


def test_a_map_that_is_left_early_is_cancelled(platform: Platform) -> None:
    results = iter(f.square.map(range(10_000)))
    next(results)
    results.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 30
    while not any(isinstance(each, apps.CancelCall) for each in platform.asked):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_map_that_is_never_iterated_warns(platform: Platform) -> None:
    with pytest.warns(UserWarning, match="never iterated"):
        f.square.map([1])
    assert platform.batches == []


def test_for_each_runs_everything_and_returns_nothing(platform: Platform) -> None:
    f.square.for_each(range(10))
    assert sum(platform.batches) == 10
    f.fail_if_odd.for_each([1, 3], ignore_exceptions=True)


def test_a_generator_cannot_be_mapped() -> None:
    with pytest.raises(exception.InvalidError, match="generator"):
        list(f.count_to.map([1]))


async def test_a_blocking_map_in_a_loop_is_refused() -> None:
    with pytest.raises(exception.InvalidError, match=r"map\.aio"):
        list(f.square.map([1]))
    with pytest.raises(exception.InvalidError, match=r"spawn_map\.aio"):
        f.square.spawn_map([1])


async def test_map_in_a_loop_takes_sync_and_async_iterables() -> None:
    async def slow() -> AsyncIterator[int]:
        for i in range(5):
            await asyncio.sleep(0)
            yield i

    assert [x async for x in f.square.map.aio(range(2000))] == [i * i for i in range(2000)]
    assert [x async for x in f.square.map.aio(slow())] == [0, 1, 4, 9, 16]
    assert [x async for x in f.add.map.aio(slow(), iter([1, 2]))] == [1, 3]
    assert [x async for x in f.square.map(range(3))] == [0, 1, 4]
    assert [x async for x in f.add.starmap.aio([(1, 2)])] == [3]
    await f.square.for_each.aio([1, 2])


async def test_a_blocking_iterator_does_not_block_the_loop() -> None:
    ticks = 0

    def inputs() -> Iterator[int]:
        for i in range(3):
            time.sleep(0.05)
            yield i

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    assert [x async for x in f.square.map.aio(inputs())] == [0, 1, 4]
    ticking.cancel()
    assert ticks > 10


def test_a_cancelled_map_fails_every_open_input(platform: Platform) -> None:
    platform.hold.clear()
    results = iter(f.square.map(range(3), return_exceptions=True))
    threading.Timer(0.3, _cancel_all, [platform]).start()
    found = list(results)
    platform.hold.set()
    assert [type(each) for each in found] == [exception.RemoteError] * 3


def _cancel_all(platform: Platform) -> None:
    from squall import _client

    client = _client.current()
    assert client is not None
    for call_id in list(client.router._sinks):
        failure = Failure(kind="cancelled", message="stopped")
        reply_to = f"reply.main.{client.client_id}.{call_id}"
        platform.do(platform.report(reply_to, call_id, Raised(-1, failure)))


# --- generators -----------------------------------------------------------------------------------


def test_remote_gen_yields_each_item_in_order() -> None:
    assert list(f.count_to.remote_gen(100)) == list(range(1, 101))


async def test_remote_gen_works_in_a_loop() -> None:
    assert [x async for x in f.count_to.remote_gen.aio(10)] == list(range(1, 11))


def test_a_generator_that_fails_yields_what_it_had_first() -> None:
    found = []
    with pytest.raises(f.OddError, match="the end"):
        for item in f.fail_after.remote_gen(3):
            found.append(item)
    assert found == [0, 1, 2]


def test_remote_and_remote_gen_refuse_each_others_functions() -> None:
    with pytest.raises(exception.InvalidError, match="remote_gen"):
        f.count_to.remote(1)
    with pytest.raises(exception.InvalidError, match=r"use square\.remote"):
        f.square.remote_gen(1)


# --- spawned calls --------------------------------------------------------------------------------


def test_a_spawned_call_is_collected_here_and_by_its_id() -> None:
    call = f.square.spawn(9)
    assert call.get() == call.get(timeout=1) == 81
    assert squall.FunctionCall.from_id(call.object_id).get(timeout=30) == 81
    assert call.num_inputs() == 1
    deadline = time.monotonic() + 30
    while squall.FunctionCall.from_id(call.object_id).num_inputs() != 1:
        assert time.monotonic() < deadline


def test_get_times_out_with_the_builtin_error(platform: Platform) -> None:
    platform.hold.clear()
    call = f.square.spawn(2)
    with pytest.raises(TimeoutError, match=call.object_id):
        call.get(timeout=0)
    with pytest.raises(TimeoutError):
        squall.FunctionCall.from_id(call.object_id).get(timeout=0)
    platform.hold.set()
    assert call.get(timeout=30) == 4


def test_a_look_up_whose_gateway_was_killed_is_asked_of_the_next(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_client, "_AGAIN_S", 0.1)
    f.app.deploy(name="doubly")
    platform.dying = 1
    assert squall.Function.from_name("doubly", "square").remote(3) == 9
    assert len([each for each in platform.asked if isinstance(each, apps.FindFunction)]) >= 2


def test_a_call_nobody_knows_has_expired() -> None:
    with pytest.raises(exception.OutputExpiredError, match="7 days"):
        squall.FunctionCall.from_id("fc-0000000000000000000000").get(timeout=30)


def test_a_bad_id_is_refused_at_once() -> None:
    with pytest.raises(exception.InvalidError, match="fc-"):
        squall.FunctionCall.from_id("ap-1")


def test_a_spawned_generator_streams_to_early_and_late_readers() -> None:
    call = f.count_to.spawn(6)
    assert list(call.stream()) == [1, 2, 3, 4, 5, 6]
    assert list(squall.FunctionCall.from_id(call.object_id).stream()) == [1, 2, 3, 4, 5, 6]


def test_a_stream_that_is_left_early_ends_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    for call in (f.count_to.spawn(6), f.square.spawn(2)):
        items = iter(call.stream())
        next(items)
        del items
    gc.collect()
    _sync.run(asyncio.sleep(0))  # what was left to the loop has been done
    assert [record.getMessage() for record in caplog.records] == []


def test_a_spawned_generator_that_fails_raises_behind_its_items() -> None:
    found = []
    with pytest.raises(f.OddError):
        for item in f.fail_after.spawn(2).stream():
            found.append(item)
    assert found == [0, 1]


def test_gather_keeps_the_order_of_the_calls() -> None:
    calls = [f.square.spawn(i) for i in range(10)]
    assert squall.gather(*calls) == [i * i for i in range(10)]
    assert squall.FunctionCall.gather(*calls) == [i * i for i in range(10)]


def test_gather_raises_the_first_failure_or_returns_it() -> None:
    calls = [f.fail_if_odd.spawn(i) for i in (2, 3)]
    with pytest.raises(f.OddError):
        squall.gather(*calls)
    found = squall.gather(*calls, return_exceptions=True)
    assert found[0] == 2
    assert isinstance(found[1], f.OddError)


def test_wait_first_returns_a_call_that_has_ended(platform: Platform) -> None:
    done = f.square.spawn(3)
    done.get()
    platform.hold.clear()
    waiting = f.square.spawn(4)
    assert squall.wait_first(waiting, done, timeout=30) is done
    with pytest.raises(TimeoutError):
        squall.wait_first(waiting, timeout=0.05)
    platform.hold.set()


def test_a_cancelled_call_raises_remote_error(platform: Platform) -> None:
    platform.hold.clear()
    call = f.square.spawn(3)
    call.cancel()
    platform.hold.set()
    with pytest.raises(exception.RemoteError, match="cancelled"):
        call.get(timeout=30)


def test_spawn_map_stores_every_input_of_one_call() -> None:
    f.square.spawn_map(range(5))
    call = f.square.experimental_spawn_map(range(400))
    assert call.num_inputs() == 400
    assert call.get(index=399, timeout=30) == 399**2
    assert list(call.iter()) == [i * i for i in range(400)]
    assert list(call.iter(start=10, end=12)) == [100, 121]
    with pytest.raises(ValueError, match="range"):
        call.iter(start=3, end=1)


async def test_spawned_calls_work_in_a_loop() -> None:
    call = await f.square.spawn.aio(5)
    assert await call.get.aio() == 25
    assert await squall.gather.aio(call) == [25]
    assert await squall.wait_first.aio(call) is call
    generator = await f.count_to.spawn.aio(3)
    assert [x async for x in generator.stream()] == [1, 2, 3]
    assert [x async for x in generator.stream.aio()] == [1, 2, 3]
    many = await f.square.experimental_spawn_map.aio(range(3))
    assert [x async for x in many.iter.aio()] == [0, 1, 4]


# --- look-ups -------------------------------------------------------------------------------------


def test_a_deployed_function_is_looked_up_on_first_use(platform: Platform) -> None:
    f.app.deploy(name="kept")
    asked = len(platform.asked)
    square = squall.Function.from_name("kept", "square")
    assert len(platform.asked) == asked
    assert square.remote(5) == 25
    assert square.object_id.startswith("fn-")
    with pytest.raises(exception.ExecutionError, match="can't run locally"):
        square.local(5)


def test_a_function_that_is_not_deployed_is_not_found() -> None:
    with pytest.raises(exception.NotFoundError, match="nowhere"):
        squall.Function.from_name("nowhere", "square").remote(1)


def test_results_survive_a_restart_of_the_server(platform: Platform) -> None:
    platform.hold.clear()
    calls = [f.square.spawn(i) for i in range(3)]
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(f.square.remote(12)))
    waiting.start()
    while len(platform.batches) < 4:
        time.sleep(0.01)
    platform.server.stop()
    platform.do(platform.server.start())
    platform.hold.set()
    waiting.join(30)
    assert found == [144]
    assert squall.gather(*calls) == [0, 1, 4]
