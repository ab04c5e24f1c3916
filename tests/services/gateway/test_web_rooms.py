"""How much a container is offered, whatever it says and whenever."""

from hypothesis import given
from hypothesis import strategies as st
from squall_gateway.web.rooms import FRESH_S, Room, Rooms

STEPS = st.lists(st.one_of(st.just("offer"), st.just("answer"), st.integers(0, 20)), max_size=60)


@given(STEPS)
def test_no_more_is_offered_than_was_told_of_less_what_is_under_way(steps: list[str | int]) -> None:
    room, open_, told = Room("ct-1", "down"), 0, 0
    for step in steps:
        if isinstance(step, int):
            assert not room.told(step, 1, 0.0)
            told = step
            allowed = max(0, step - open_)
        elif step == "answer" and open_:
            room.answered()
            open_ -= 1
        elif step == "offer" and room.vacant(0.0) > 0:
            assert told
            room.offered()
            open_ += 1
            allowed -= 1
            assert allowed >= 0


def test_what_was_told_long_ago_counts_no_more_and_is_forgotten() -> None:
    rooms = Rooms()
    rooms.of("fn-1", "ct-1", "down").told(5, 1, 0.0)
    assert rooms.best("fn-1", FRESH_S - 1) is not None
    assert rooms.best("fn-2", 0.0) is None
    assert rooms.best("fn-1", FRESH_S) is None
    rooms.prune(FRESH_S)
    assert not rooms.knows("fn-1", "ct-1")


def test_the_one_with_most_room_is_chosen() -> None:
    rooms = Rooms()
    for number, vacant in enumerate((2, 7, 0)):
        rooms.of("fn-1", f"ct-{number}", "down").told(vacant, 1, 0.0)
    best = rooms.best("fn-1", 0.0)
    assert best is not None
    assert best.container_id == "ct-1"


def test_one_that_was_away_says_so_by_its_epoch() -> None:
    room = Room("ct-1", "down")
    assert [room.told(1, epoch, 0.0) for epoch in (3, 3, 4, 4)] == [False, False, True, False]
