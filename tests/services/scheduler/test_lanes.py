"""Lanes for maps that find the common one in use."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from squall_contracts import subjects, version_subjects
from squall_contracts.calls import Lane
from squall_contracts.lanes import LaneOpened, LaneReply, LaneWanted
from squall_scheduler.lanes import choose

from .stage import ACCOUNT, Stage

ANY: Any = LaneReply
WANTED = LaneWanted(workspace=ACCOUNT, function_id="fn-1")


@given(st.dictionaries(st.sampled_from(subjects.BULK_LANES), st.integers(0, 5)))
def test_a_lane_with_fewest_calls_is_chosen_and_the_first_of_those(calls: dict[Lane, int]) -> None:
    chosen = choose(calls)
    counts = [calls.get(lane, 0) for lane in subjects.BULK_LANES]
    assert counts[subjects.BULK_LANES.index(chosen)] == min(counts)
    assert counts.index(min(counts)) == subjects.BULK_LANES.index(chosen)


async def test_each_who_asks_gets_another_lane_and_guests_hear_of_it(stage: Stage) -> None:
    heard: list[Lane] = []
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    await stage.workspace.subscribe(
        version_subjects.lane_opened("main", "fn-1"),
        lambda delivery: heard.append(delivery.decode(LaneOpened).lane),
    )
    await stage.workspace.store(subjects.call("main", "fn-1", "bulk", "fc-1"), b"one")
    await stage.workspace.store(subjects.call("main", "fn-1", "bulk", "fc-2"), b"two")
    given = [
        (await stage.platform.request(subjects.FUNCTION_LANE, WANTED, ANY)).lane for _ in range(4)
    ]
    assert given == ["bulk2", "bulk3", "bulk4", "bulk2"]
    await stage.until(lambda: heard == given)
    names = await stage.workspace.admin.consumers(subjects.CALLS)
    assert {f"fn-1_{lane}" for lane in given} < set(names)


async def test_a_lane_that_has_emptied_is_given_again(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    lane = (await stage.platform.request(subjects.FUNCTION_LANE, WANTED, ANY)).lane
    assert lane == "bulk"


async def test_lanes_of_others_functions_are_not_given(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    for wanted in (
        LaneWanted(workspace="somebody", function_id="fn-1"),
        LaneWanted(workspace=ACCOUNT, function_id="fn-none"),
    ):
        refused = await stage.platform.request(subjects.FUNCTION_LANE, wanted, ANY)
        assert refused.kind == "not_found"


async def test_an_opened_lane_survives_its_scheduler_and_goes_with_its_function(
    stage: Stage,
) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    await stage.workspace.store(subjects.call("main", "fn-1", "bulk", "fc-1"), b"one")
    await stage.platform.request(subjects.FUNCTION_LANE, WANTED, ANY)
    await stage.kill()
    await stage.start()
    names = await stage.workspace.admin.consumers(subjects.CALLS)
    assert "fn-1_bulk2" in names
    await stage.functions.delete("fn-1")
    await stage.until(stage.no_consumers)
