"""Properties of the autoscaler's decision, each shown to catch a seeded fault.

A checker takes a way of deciding and a pool and says what is wrong with it; None: nothing. The real
decision passes on every pool Hypothesis makes; a faulty variant fails on one of a few.
"""

import math
from collections.abc import Callable, Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_autoscaler.core import Live, Need, Policy, Pool, desired, floor, is_active, needed
from squall_contracts.placement import ContainerState
from squall_contracts.scaling import Target

NOW = 1_000.0
Decide = Callable[[Pool, Policy, float], Target | None]
Check = Callable[[Decide, Pool, Policy], str | None]

moments = st.floats(0, NOW)
states: st.SearchStrategy[ContainerState] = st.sampled_from(
    ("requested", "placed", "starting", "importing", "ready")
)
policies = st.builds(
    Policy,
    min_containers=st.integers(0, 6),
    max_containers=st.integers(1, 12),
    buffer_containers=st.integers(0, 4),
    scaledown_window_s=st.floats(1, 300),
    max_inputs=st.integers(1, 5),
)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Live, ...]:
    found = draw(st.lists(states, max_size=8))
    return tuple(
        Live(f"ct-{i}", state, draw(moments) if state == "ready" else None)
        for i, state in enumerate(found)
    )


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    backlog = draw(st.none() | st.integers(0, 60))
    times = sorted(draw(st.lists(moments, max_size=3)))
    return Pool(
        function_id="fn-1",
        backlog=backlog,
        delayed=draw(st.integers(0, 2)),
        containers=draw(lives()),
        target=draw(st.integers(0, 12)),
        run_s=draw(st.none() | st.floats(0, 100)),
        busy_since_unix_s=draw(moments) if backlog else None,
        progress_unix_s=draw(st.none() | moments) if backlog else None,
        lately=tuple(Need(at_s, draw(st.integers(1, 12))) for at_s in times),
    )


def decided(decide: Decide, pool: Pool, policy: Policy, now_s: float = NOW) -> int:
    target = decide(pool, policy, now_s)
    return pool.target if target is None else target.containers


def applied(pool: Pool, count: int, now_s: float, *, ready: bool) -> Pool:
    """The pool once it has `count` containers: what is missing boots, or is ready since now."""
    kept = sorted(pool.containers, key=_last_to_go)[:count]
    missing = tuple(
        Live(f"ct-new-{i}", "ready" if ready else "starting", now_s if ready else None)
        for i in range(count - len(kept))
    )
    return msgspec.structs.replace(pool, target=count, containers=(*kept, *missing))


def _last_to_go(live: Live) -> tuple[bool, bool]:
    return live.state == "requested", live.state != "ready"


def placed(pool: Pool) -> int:
    return sum(live.state != "requested" for live in pool.containers)


# --- the checkers --------------------------------------------------------------------------------


def out_of_bounds(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    count = decided(decide, pool, policy)
    fine = floor(policy) <= count <= policy.max_containers
    return None if fine else f"{count} containers"


def moody(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    first, second = decide(pool, policy, NOW), decide(pool, policy, NOW)
    return None if first == second else f"first {first}, then {second}"


def restless(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    after = msgspec.structs.replace(pool, target=decided(decide, pool, policy))
    again = decide(after, policy, NOW)
    return None if again is None else f"asked again it says {again}"


def counts_no_booting(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether what was asked for is asked for again while it boots."""
    boots = applied(pool, decided(decide, pool, policy), NOW, ready=False)
    again = decided(decide, boots, policy)
    return None if again == boots.target else f"{boots.target}, then {again} while they boot"


def blind(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether it scales down on a backlog nobody could read."""
    unread = msgspec.structs.replace(pool, backlog=None)
    count = decided(decide, unread, policy)
    fine = count >= min(pool.target, policy.max_containers)
    return None if fine else f"{count} of {pool.target} without knowing the backlog"


def deaf(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether inputs may wait for nobody."""
    busy = msgspec.structs.replace(pool, backlog=pool.backlog or 1, busy_since_unix_s=NOW)
    return None if decided(decide, busy, policy) >= 1 else "nobody for what waits"


def wasteful(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether there is more than inputs can use, or could lately."""
    backlog = pool.backlog or 1
    fresh = msgspec.structs.replace(pool, backlog=backlog, lately=())
    usable = math.ceil(backlog / policy.max_inputs) + policy.buffer_containers
    count = decided(decide, fresh, policy)
    return None if count <= max(usable, floor(policy)) else f"{count} for {usable}"


def hasty(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether what was needed within the window goes before it is over, or stays after it."""
    idle = msgspec.structs.replace(pool, backlog=0, delayed=0, busy_since_unix_s=None)
    since_s = NOW - policy.scaledown_window_s
    counting = [need.containers for need in pool.lately if need.at_unix_s > since_s]
    kept = min([*counting, placed(idle)], default=0) if counting else 0
    count = decided(decide, idle, policy)
    if count < min(kept, policy.max_containers):
        return f"{count} left of {kept} within the window"
    most = max([*counting, 0])
    if count > max(floor(policy), min(most, placed(idle))):
        return f"{count} kept though {most} were needed"
    return None


def unsteady(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether a constant load, seen now and then at moments without backlog, moves the target."""
    load = pool.backlog or 1
    now_s, targets = NOW, []
    step_s = policy.scaledown_window_s / 4
    state = Pool(function_id="fn-1", backlog=load, run_s=pool.run_s or 0.1)
    for tick in range(24):
        now_s += step_s
        backlog = 0 if tick % 3 == 2 else load
        state = msgspec.structs.replace(
            state, backlog=backlog, busy_since_unix_s=now_s if backlog else None
        )
        need = Need(now_s, needed(state, policy, now_s))
        count = decided(decide, state, policy, now_s)
        state = applied(state, count, now_s, ready=True)
        state = msgspec.structs.replace(state, lately=(*state.lately, need)[-8:])
        targets.append(count)
    settled = set(targets[6:])
    return None if len(settled) == 1 else f"targets {targets}"


def hoards(decide: Decide, pool: Pool, policy: Policy) -> str | None:
    """Whether a burst's containers stay for ever under a trickle that needs few of them."""
    trickle = Pool(
        function_id="fn-1",
        backlog=1,
        run_s=0.001,
        target=policy.max_containers,
        containers=tuple(Live(f"ct-{n}", "ready", 0.0) for n in range(policy.max_containers)),
        busy_since_unix_s=NOW,
        lately=(Need(NOW - 2 * policy.scaledown_window_s, policy.max_containers), Need(NOW, 1)),
    )
    count = decided(decide, trickle, policy)
    least = max(floor(policy), min(policy.max_containers, 1 + policy.buffer_containers))
    return None if count == least else f"{count} containers for a trickle"


CHECKS: tuple[Check, ...] = (
    out_of_bounds,
    moody,
    restless,
    counts_no_booting,
    blind,
    deaf,
    wasteful,
    hasty,
    unsteady,
    hoards,
)


@pytest.mark.parametrize("check", CHECKS)
@given(pool=pools(), policy=policies)
@settings(max_examples=100)
def test_the_decision_has_the_property(check: Check, pool: Pool, policy: Policy) -> None:
    assert check(desired, pool, policy) is None


@given(pools(), policies)
def test_a_pool_at_its_floor_without_work_needs_no_ticks(pool: Pool, policy: Policy) -> None:
    rest = msgspec.structs.replace(pool, backlog=0, delayed=0, target=floor(policy), containers=())
    assert not is_active(rest, policy)
    assert desired(rest, policy, NOW) is None


# --- faults the checkers must see ----------------------------------------------------------------

SOME: tuple[tuple[Pool, Policy], ...] = (
    (
        Pool(
            function_id="fn-1",
            backlog=20,
            run_s=2.0,
            containers=(Live("ct-1", "ready", 900.0), Live("ct-2", "starting")),
            target=2,
            busy_since_unix_s=900.0,
            lately=(Need(990.0, 2),),
        ),
        Policy(max_containers=4, scaledown_window_s=30),
    ),
    (
        Pool(
            function_id="fn-1",
            backlog=0,
            containers=(Live("ct-1", "ready", 900.0), Live("ct-2", "ready", 900.0)),
            target=2,
            lately=(Need(990.0, 2),),
        ),
        Policy(max_containers=4, scaledown_window_s=30),
    ),
)


def _target(pool: Pool, count: int, now_s: float) -> Target | None:
    if count == pool.target:
        return None
    return Target(function_id=pool.function_id, containers=count, at_unix_s=now_s)


def _ignores_the_maximum(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    return desired(pool, msgspec.structs.replace(policy, max_containers=1000), now_s)


def _changes_its_mind() -> Decide:
    calls = iter(range(1_000_000))

    def decide(pool: Pool, policy: Policy, now_s: float) -> Target | None:
        return _target(pool, 1 + next(calls) % 2, now_s)

    return decide


def _adds_to_what_there_is(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    more = pool.target + needed(pool, policy, now_s)
    return _target(pool, min(policy.max_containers + 50, more), now_s)


def _sees_only_ready_ones(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    booting = sum(live.state != "ready" for live in pool.containers)
    return _target(pool, needed(pool, policy, now_s) + booting, now_s)


def _takes_silence_for_rest(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    quiet = msgspec.structs.replace(pool, backlog=pool.backlog or 0, lately=())
    return desired(quiet, policy, now_s)


def _waits_for_a_second_input(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    fewer = (pool.backlog or 0) - 1
    return _target(pool, min(policy.max_containers, max(0, fewer)), now_s)


def _one_for_each_input_and_one_more(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    return _target(pool, (pool.backlog or 0) + 1, now_s)


def _forgets_the_window(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    return desired(msgspec.structs.replace(pool, lately=()), policy, now_s)


def _keeps_what_it_has_while_busy(pool: Pool, policy: Policy, now_s: float) -> Target | None:
    if pool.backlog:
        return _target(pool, max(pool.target, needed(pool, policy, now_s)), now_s)
    return desired(pool, policy, now_s)


FAULTS: tuple[tuple[Check, Decide], ...] = (
    (out_of_bounds, _ignores_the_maximum),
    (moody, _changes_its_mind()),
    (restless, _adds_to_what_there_is),
    (counts_no_booting, _sees_only_ready_ones),
    (blind, _takes_silence_for_rest),
    (deaf, _waits_for_a_second_input),
    (wasteful, _one_for_each_input_and_one_more),
    (hasty, _forgets_the_window),
    (unsteady, _forgets_the_window),
    (hoards, _keeps_what_it_has_while_busy),
)


def verdicts(check: Check, decide: Decide) -> Iterable[str | None]:
    return (check(decide, pool, policy) for pool, policy in SOME)


def test_every_checker_is_shown_a_fault() -> None:
    assert {check for check, _ in FAULTS} == set(CHECKS)


@pytest.mark.parametrize(("check", "faulty"), FAULTS)
def test_a_checker_rejects_a_seeded_fault(check: Check, faulty: Decide) -> None:
    assert not any(verdicts(check, desired))
    assert any(verdicts(check, faulty))
