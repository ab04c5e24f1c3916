"""Inputs for functions that are gone."""

import pytest
from squall_bus.errors import NoResponder
from squall_contracts import subjects
from squall_contracts.calls import Raised
from squall_contracts.lanes import LaneOpened, LaneWanted

from .stage import ACCOUNT, Stage


async def test_a_call_to_a_function_that_is_gone_is_answered(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    await stage.call(0, function_id="fn-gone")
    await stage.workspace.publish(subjects.up_hint("fn-gone"), {"function_id": "fn-gone"})
    await stage.until(lambda: bool(stage.results))
    (item,) = stage.results[0].items
    assert isinstance(item, Raised)
    assert (item.index, item.failure.exception_type) == (-1, "NotFoundError")
    await stage.until(stage.nothing_waits)


async def test_a_call_stored_before_the_registry_is_heard_of_waits(stage: Stage) -> None:
    """The hint may come first: what the registry holds is not turned away."""
    await stage.kill()
    await stage.declare()
    await stage.start()
    await stage.call(0)
    await stage.workspace.publish(subjects.up_hint("fn-1"), {"function_id": "fn-1"})
    await stage.join()
    await stage.want(1)
    await stage.ready()
    assert stage.results == []
    assert not await stage.nothing_waits()


async def test_a_call_that_comes_while_its_function_leaves_is_answered(stage: Stage) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    await stage.call(0)
    await stage.functions.delete("fn-1")
    await stage.until(lambda: bool(stage.results))
    await stage.until(stage.nothing_waits)


async def test_a_scheduler_that_lost_its_lease_hears_nothing_any_more(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    await stage.ready()
    await stage.kill()
    await stage.workspace.publish(subjects.up_hint("fn-gone"), {"function_id": "fn-gone"})
    await stage.workspace.flush()
    wanted = LaneWanted(workspace=ACCOUNT, function_id="fn-1")
    with pytest.raises(NoResponder):
        await stage.platform.request(subjects.FUNCTION_LANE, wanted, LaneOpened)
    assert not caplog.records
