"""Containers go where they start soonest, as far as there is room."""

from hypothesis import given
from hypothesis import strategies as st
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.stock import Stock

from .stage import Stage

SMALL = Demand(1000, 100)


def stock(*machines: Machine, full: tuple[str, ...] = ()) -> Stock:
    return Stock(machines, [(name, Demand(4000, 100), "") for name in full])


def machine(name: str, **ready: tuple[str, ...]) -> Machine:
    return Machine(name, cpu_m=4000, memory_mib=4000, **ready)  # type: ignore[arg-type]


def found(where: Stock, function_id: str = "fn-1", demand: Demand = SMALL) -> str:
    place = where.find(demand, None, function_id)
    assert place is not None
    return place[0].machine.runner_id


def test_a_snapshot_comes_before_a_warm_container_and_that_before_nothing() -> None:
    nothing, warm = machine("rn-1"), machine("rn-2", warm=("fn-1",))
    held = machine("rn-3", snapshots=("fn-1",))
    assert found(stock(nothing, warm, held)) == "rn-3"
    assert found(stock(nothing, warm, held, full=("rn-3",))) == "rn-2"
    assert found(stock(nothing, warm, held, full=("rn-3", "rn-2"))) == "rn-1"
    assert found(stock(nothing, warm, held), "fn-2") == "rn-1"


@given(
    st.lists(st.sampled_from(["fn-1", "fn-2"]), min_size=1, max_size=12),
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4),
)
def test_what_a_machine_has_ready_never_costs_anybody_a_place(
    wanted: list[str], machines: list[tuple[bool, bool]]
) -> None:
    def placed(*, near: bool) -> int:
        where = Stock(
            Machine(
                f"rn-{number}",
                2000,
                4000,
                snapshots=("fn-1",) if near and snapshots else (),
                warm=("fn-1", "fn-2") if near and warm else (),
            )
            for number, (snapshots, warm) in enumerate(machines)
        )
        count = 0
        for function_id in wanted:
            place = where.find(SMALL, None, function_id)
            if place is not None:
                assert place[0].cpu_m >= SMALL.cpu_m
                where.take(place[0], SMALL, place[1])
                count += 1
        return count

    assert placed(near=True) == placed(near=False)


async def test_a_container_is_placed_where_its_snapshot_is(stage: Stage) -> None:
    await stage.declare()
    await stage.join("rn-1")
    await stage.join("rn-2")
    await stage.join("rn-2", snapshots=("fn-1",))  # nothing waits: no round needs to hear of it
    await stage.want(1)
    start = await stage.started()
    record = await stage.until_record(start.container_id, "placed")
    assert record.runner_id == "rn-2"
