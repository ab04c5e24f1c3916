"""Requests collected into batches."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.serving.batching import Batcher


class Recorder:
    """Runs batches and remembers them; an odd number fails."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.running = 0

    async def run(self, batch: list[int]) -> list[str | Exception]:
        assert self.running == 0, "one batch at a time"
        self.running += 1
        self.batches.append(batch)
        await asyncio.sleep(0)
        self.running -= 1
        return [ValueError(each) if each % 2 else str(each) for each in batch]


@given(st.lists(st.integers(0, 99), max_size=50), st.integers(1, 8))
def test_everyone_gets_their_own_outcome_in_batches_no_larger_than_said(
    items: list[int], max_size: int
) -> None:
    recorder = Recorder()

    async def submit_all() -> list[str | BaseException]:
        batcher: Batcher[int, str] = Batcher(recorder.run, max_size=max_size, wait_s=0)
        return await asyncio.gather(
            *(batcher.submit(each) for each in items), return_exceptions=True
        )

    outcomes = asyncio.run(submit_all())
    for item, outcome in zip(items, outcomes, strict=True):
        if item % 2:
            assert isinstance(outcome, ValueError)
            assert outcome.args == (item,)
        else:
            assert outcome == str(item)
    assert [each for batch in recorder.batches for each in batch] == items
    assert all(len(batch) <= max_size for batch in recorder.batches)
    assert len(recorder.batches) <= -(-len(items) // max_size) + 1


async def test_the_first_waits_for_others_and_a_full_batch_for_nobody() -> None:
    recorder = Recorder()
    batcher: Batcher[int, str] = Batcher(recorder.run, max_size=4, wait_s=3600)
    await asyncio.gather(*(batcher.submit(each) for each in (0, 2, 4, 6)))
    assert recorder.batches == [[0, 2, 4, 6]]


async def test_a_batch_that_does_not_fill_runs_when_the_time_is_over() -> None:
    recorder = Recorder()
    batcher: Batcher[int, str] = Batcher(recorder.run, max_size=4, wait_s=0.01)
    both: list[str] = await asyncio.gather(*map(batcher.submit, [0, 2]))
    assert both == ["0", "2"]
    assert recorder.batches == [[0, 2]]


async def test_what_the_run_raises_is_everyones_and_the_next_batch_runs() -> None:
    failing = True

    async def run(batch: list[int]) -> list[str | Exception]:
        if failing:
            raise OSError("out")
        return [str(each) for each in batch]

    batcher: Batcher[int, str] = Batcher(run, max_size=2, wait_s=0)
    found = await asyncio.gather(batcher.submit(0), batcher.submit(2), return_exceptions=True)
    assert [type(each) for each in found] == [OSError, OSError]
    failing = False
    assert await batcher.submit(4) == "4"


async def test_a_leader_that_is_cancelled_leaves_its_batch_to_another() -> None:
    began, go = asyncio.Event(), asyncio.Event()
    batches = []

    async def run(batch: list[int]) -> list[str | Exception]:
        batches.append(batch)
        began.set()
        await go.wait()
        return [str(each) for each in batch]

    batcher: Batcher[int, str] = Batcher(run, max_size=3, wait_s=0.2)
    tasks = [asyncio.create_task(batcher.submit(each)) for each in (0, 2, 4)]
    await began.wait()
    tasks[0].cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
    assert await asyncio.gather(*tasks[1:]) == ["2", "4"]
    assert batches == [[0, 2, 4], [2, 4]]
