"""Containers go where they start soonest, as far as there is room."""

from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.stock import Stock
from squall_scheduler.whereabouts import Whereabouts

from .stage import Stage

SMALL = Demand(1000, 100)
NEAR = ("fn-1", "im-1")


def found(had: Whereabouts, *full: str, near: tuple[str, ...] = NEAR) -> str:
    machines = [Machine(f"rn-{n}", cpu_m=4000, memory_mib=4000) for n in (1, 2, 3)]
    taken = [(name, Demand(4000, 100), "") for name in full]
    place = Stock(machines, taken, had=had.known).find(SMALL, None, near)
    assert place is not None
    return place[0].machine.runner_id


def test_a_snapshot_comes_before_an_image_and_that_before_nothing() -> None:
    had = Whereabouts()
    had.used("rn-2", ["im-1"])
    had.holds("rn-3", (), ("fn-1",))
    assert found(had) == "rn-3"
    assert found(had, "rn-3") == "rn-2"
    assert found(had, "rn-3", "rn-2") == "rn-1"
    assert found(had, near=("im-2",)) == "rn-1"


def test_a_snapshot_that_was_given_up_is_not_looked_for() -> None:
    had = Whereabouts()
    had.holds("rn-3", (), ("fn-1", "fn-2"))
    had.holds("rn-2", (), ("fn-1",))
    had.holds("rn-3", ("fn-1", "fn-2"), ("fn-2",))
    assert found(had) == "rn-2"
    had.holds("rn-2", ("fn-1",), ())
    assert found(had) == "rn-1"
    assert "fn-1" not in had.known


async def test_a_container_is_placed_where_its_snapshot_is(stage: Stage) -> None:
    await stage.declare(spec={"memory_snapshot": True})
    await stage.join("rn-1")
    await stage.join("rn-2")
    await stage.join("rn-2", snapshots=("fn-1",))  # nothing waits: no round needs to hear of it
    await stage.want(1)
    start = await stage.started()
    record = await stage.until_record(start.container_id, "placed")
    assert record.runner_id == "rn-2"
