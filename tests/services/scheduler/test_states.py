"""A container's life: forward only, and never back from its end."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.placement import ENDED, ContainerState
from squall_scheduler.states import STEPS, TRANSITIONS, InvalidTransition, advance, moment

states: st.SearchStrategy[ContainerState] = st.sampled_from(STEPS)


def test_the_table_knows_every_state() -> None:
    assert set(STEPS) == set(TRANSITIONS) == set(get_args(ContainerState))


@given(st.lists(states))
def test_reports_in_any_order_only_ever_move_forward(reports: list[ContainerState]) -> None:
    now: ContainerState = "requested"
    for told in reports:
        try:
            moved = advance("ct-1", now, told)
        except InvalidTransition:
            continue
        if moved is not None:
            assert STEPS.index(moved) > STEPS.index(now)
            assert now not in ENDED
            now = moved


@given(states, states)
def test_a_report_read_twice_changes_nothing_the_second_time(
    now: ContainerState, told: ContainerState
) -> None:
    try:
        moved = advance("ct-1", now, told)
    except InvalidTransition:
        return
    assert advance("ct-1", moved or now, told) is None


@pytest.mark.parametrize(("ended", "told"), list(itertools.product(sorted(ENDED), STEPS)))
def test_an_ended_container_never_comes_back(ended: ContainerState, told: ContainerState) -> None:
    assert advance("ct-1", ended, told) is None


def test_what_can_not_happen_names_the_container_and_its_history() -> None:
    with pytest.raises(InvalidTransition, match="ct-1 can't go from requested to ready"):
        advance("ct-1", "requested", "ready", ["requested"])


def test_a_report_of_a_wrong_clock_counts_as_of_when_it_was_read() -> None:
    assert moment(105.0, 100.0, 110.0) == 105.0
    assert moment(3_705.0, 100.0, 110.0) == 110.0
    assert moment(5.0, 100.0, 110.0) == 110.0
