"""Properties of making room, each shown to catch a seeded fault, and what they mean in cases.

A checker takes ways of placing and of making room and says what is wrong with them; None: nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from squall_contracts.identity import Quota
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.core import (
    Cluster,
    Held,
    Limits,
    Placement,
    Start,
    Stop,
    Wait,
    Wanted,
)
from squall_scheduler.placing import place
from squall_scheduler.reclaim import next_turn, reclaim
from squall_scheduler.sharing import Workspace

from tests.services.scheduler.test_properties import (
    LIMITS,
    NOW,
    Place,
    Reclaim,
    applied,
    clusters,
    waiter,
)


def heard(cluster: Cluster, now_s: float) -> Cluster:
    """All guests told just now that they have work."""
    return msgspec.structs.replace(
        cluster,
        containers=tuple(
            msgspec.structs.replace(held, heard_unix_s=now_s) for held in cluster.containers
        ),
    )


def after_stops(cluster: Cluster, stops: Sequence[Stop]) -> Cluster:
    """Who was told to make room drains."""
    graces = {stop.container_id: stop.grace_s for stop in stops}
    return msgspec.structs.replace(
        cluster,
        containers=tuple(
            msgspec.structs.replace(held, state="draining", told_grace_s=graces[held.container_id])
            if held.container_id in graces
            else held
            for held in cluster.containers
        ),
    )


# --- for any cluster -----------------------------------------------------------------------------

Check = Callable[[Reclaim, Cluster], str | None]


def greedy(take_back: Reclaim, cluster: Cluster) -> str | None:
    """Whether asking again, before anybody has gone, stops more and more. Once or twice it may: who
    gave his last one up may get another's turn."""
    placements = place(cluster, NOW, LIMITS)
    cluster = applied(cluster, placements)
    for _ in range(4):
        stops = take_back(cluster, placements, NOW, LIMITS)
        if not stops:
            return None
        cluster = after_stops(cluster, stops)
        placements = place(cluster, NOW, LIMITS)
        if any(isinstance(placement, Start) for placement in placements):
            return "what drains was given away"
    return f"{stops} still the fourth time"


def takes_from_the_poor(take_back: Reclaim, cluster: Cluster) -> str | None:
    """Whether somebody makes room for himself alone, or for nobody."""
    placements = place(cluster, NOW, LIMITS)
    cluster = applied(cluster, placements)
    by_id = {held.container_id: held for held in cluster.containers}
    waits = {by_id[p.container_id].function_id for p in placements if isinstance(p, Wait)}
    for stop in take_back(cluster, placements, NOW, LIMITS):
        victim = by_id[stop.container_id]
        if not waits - {victim.function_id}:
            return f"{stop.container_id} makes room for its own function"
        if victim.state != "ready":
            return f"{stop.container_id} had not begun"
    return None


def moody(take_back: Reclaim, cluster: Cluster) -> str | None:
    placements = place(cluster, NOW, LIMITS)
    cluster = applied(cluster, placements)
    turned = msgspec.structs.replace(
        cluster, containers=cluster.containers[::-1], machines=cluster.machines[::-1]
    )
    first = take_back(cluster, placements, NOW, LIMITS)
    second = take_back(turned, placements[::-1], NOW, LIMITS)
    return None if first == second else f"{first} or {second}"


CHECKS: tuple[Check, ...] = (greedy, takes_from_the_poor, moody)


@pytest.mark.parametrize("check", CHECKS)
@given(cluster=clusters())
@settings(max_examples=80)
def test_making_room_has_the_property(check: Check, cluster: Cluster) -> None:
    assert check(reclaim, cluster) is None


def working(name: str, workspace: str, function: str, since_s: float, **more: object) -> Held:
    made = msgspec.structs.replace(
        waiter(name, workspace),
        function_id=function,
        state="ready",
        runner_id="rn-a",
        ready_unix_s=NOW - since_s,
        heard_unix_s=NOW,
    )
    return msgspec.structs.replace(made, **more)


CROWDED = Cluster(
    containers=(
        *(working(f"ct-{n}", "A", "fn-A", 100 + n) for n in range(9)),
        waiter("ct-b", "B"),
    ),
    machines=(Machine("rn-a", 9000, 9000),),
)


def _everybody_out(
    cluster: Cluster, placements: Sequence[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    live = [h for h in cluster.containers if h.runner_id]
    return tuple(Stop(held.container_id, 30.0, "") for held in live)


def _the_next_one_out(
    cluster: Cluster, placements: Sequence[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    ready = [held for held in cluster.containers if held.state == "ready"]
    return tuple(Stop(held.container_id, 30.0, "") for held in ready[:1])


FULL_OF_ITS_OWN = msgspec.structs.replace(
    CROWDED, containers=(*CROWDED.containers[:9], waiter("ct-a", "A"))
)


@pytest.mark.parametrize(
    ("check", "faulty", "cluster"),
    [
        (greedy, _the_next_one_out, CROWDED),
        (takes_from_the_poor, _everybody_out, FULL_OF_ITS_OWN),
        (moody, _the_next_one_out, CROWDED),
    ],
)
def test_a_checker_rejects_a_seeded_fault(check: Check, faulty: Reclaim, cluster: Cluster) -> None:
    assert check(reclaim, cluster) is None
    assert check(faulty, cluster) is not None


# --- over time -----------------------------------------------------------------------------------


class Crowd:
    """Groups that always want more than there is, round after round of a second."""

    def __init__(
        self, machines: tuple[Machine, ...], workspaces: tuple[Workspace, ...] = ()
    ) -> None:
        self.machines = machines
        self.workspaces = workspaces
        self.live: dict[str, Held] = {}
        self.spent: defaultdict[str, float] = defaultdict(float)
        """Container seconds by function."""
        self.ends: dict[str, float] = {}
        self._made = 0

    def want(self, function: str, workspace: str, count: int, now_s: float, cpu_m: int) -> None:
        """Have so many containers of it, placed or not."""
        live = [h for h in self.live.values() if h.state != "draining"]
        for _ in range(count - sum(h.function_id == function for h in live)):
            self._made += 1
            self.live[f"ct-{self._made:05}"] = msgspec.structs.replace(
                waiter(f"ct-{self._made:05}", workspace, cpu_m),
                function_id=function,
                requested_unix_s=now_s,
            )

    def round(self, now_s: float, decide: Place, take_back: Reclaim, *, drain_s: float) -> None:
        """Decide and apply. Who makes room has ended `drain_s` later, later ones a bit later."""
        for name, ends_s in list(self.ends.items()):
            if ends_s <= now_s:
                del self.ends[name], self.live[name]
        placements = decide(self._cluster(), now_s, LIMITS)
        cluster = applied(self._cluster(), placements, ready_unix_s=now_s)
        cluster = heard(cluster, now_s)
        stops = take_back(cluster, placements, now_s, LIMITS)
        self.live = {held.container_id: held for held in after_stops(cluster, stops).containers}
        for stop in stops:
            self.ends[stop.container_id] = now_s + drain_s * (1 + len(self.ends) % 3)
        for held in self.live.values():
            self.spent[held.function_id] += bool(held.runner_id)

    def _cluster(self) -> Cluster:
        return Cluster(
            containers=tuple(self.live.values()),
            machines=self.machines,
            workspaces=self.workspaces,
        )

    def parts(self) -> dict[str, float]:
        """Each function's part of all container time."""
        total = sum(self.spent.values())
        return {name: spent / total for name, spent in self.spent.items()}


def parts_after(
    rounds: int,
    slots: int,
    weights: dict[str, float],
    take_back: Reclaim,
    *,
    together: bool = False,
) -> dict[str, float]:
    """Each function's part of all slot time, when the first holds everything and all want more:
    functions of workspaces with `weights`, or all of one."""
    own = () if together else tuple(Workspace(name, weight) for name, weight in weights.items())
    crowd = Crowd((Machine("rn-a", 1000 * slots, 1000 * slots),), own)
    for number in range(rounds):
        for name in weights if number else list(weights)[:1]:
            crowd.want(name, "all" if together else name, slots, NOW + number, 1000)
        crowd.round(NOW + number, place, take_back, drain_s=0.5)
    return dict.fromkeys(weights, 0.0) | crowd.parts()


def takes_nothing_back(
    cluster: Cluster, placements: Sequence[Placement], now_s: float, limits: Limits
) -> tuple[Stop, ...]:
    return ()


@pytest.mark.parametrize("weights", [{"A": 1, "B": 1}, {"A": 1, "B": 3}, {"A": 2, "B": 1, "C": 1}])
def test_shares_converge_to_the_weights(weights: dict[str, float]) -> None:
    slots, total = 12, sum(weights.values())
    found = parts_after(300, slots, weights, reclaim)
    for name, weight in weights.items():
        assert found[name] == pytest.approx(weight / total, abs=1 / slots)
    assert parts_after(300, slots, weights, takes_nothing_back)["A"] == 1.0


@pytest.mark.parametrize("weights", [{"A": 1, "B": 1}, {"A": 3, "B": 1}])
def test_nobody_starves_where_there_is_one_slot(weights: dict[str, float]) -> None:
    found = parts_after(200, 1, weights, reclaim)
    total = sum(weights.values())
    for name, weight in weights.items():
        assert found[name] == pytest.approx(weight / total, abs=0.15)
    assert parts_after(200, 1, weights, takes_nothing_back)["B"] == 0.0


@pytest.mark.parametrize("slots", [1, 6])
def test_functions_of_one_workspace_share_alike(slots: int) -> None:
    weights = {"f": 1.0, "g": 1.0, "h": 1.0}
    found = parts_after(200, slots, weights, reclaim, together=True)
    for name in weights:
        assert found[name] == pytest.approx(1 / 3, abs=0.15)
    alone = parts_after(200, slots, weights, takes_nothing_back, together=True)
    assert alone == {"f": 1.0, "g": 0.0, "h": 0.0}


def rounds_until_the_large_one_runs(decide: Place) -> int | None:
    """A machine full of small containers with more of them waiting, and one that needs all of it."""
    crowd = Crowd((Machine("rn-a", 4000, 4000),))
    for number in range(60):
        now_s = NOW + number
        crowd.want("small", "A", 8, now_s, 1000)
        crowd.round(now_s, decide, reclaim, drain_s=2.0)
        if number >= 5:
            crowd.want("large", "B", 1, now_s, 4000)
        if crowd.spent["large"]:
            return number
    return None


def _keeps_nothing(cluster: Cluster, now_s: float, limits: Limits) -> tuple[Placement, ...]:
    """Doesn't look at what ends: whoever fits into the first gap takes it."""
    blind = tuple(
        msgspec.structs.replace(held, state="ready") if held.state == "draining" else held
        for held in cluster.containers
    )
    return place(msgspec.structs.replace(cluster, containers=blind), now_s, limits)


def test_a_large_container_is_not_starved_by_small_ones() -> None:
    found = rounds_until_the_large_one_runs(place)
    assert found is not None
    assert found < 30
    assert rounds_until_the_large_one_runs(_keeps_nothing) is None


# --- cases ---------------------------------------------------------------------------------------


def stopped(cluster: Cluster, now_s: float = NOW) -> list[tuple[str, str]]:
    stops = reclaim(cluster, place(cluster, now_s, LIMITS), now_s, LIMITS)
    return [(stop.container_id, stop.reason) for stop in stops]


def test_a_turn_comes_when_the_one_who_holds_all_had_its_own() -> None:
    holds = working("ct-1", "A", "fn-A", 1.0)
    cluster = Cluster(
        containers=(holds, waiter("ct-2", "B")), machines=(Machine("rn-a", 1000, 1000),)
    )
    assert stopped(cluster) == []
    turn = NOW - 1 + LIMITS.turn_s
    assert next_turn(cluster, NOW, LIMITS) == turn
    assert stopped(cluster, turn) == [("ct-1", "makes room for another workspace")]


def test_what_has_no_work_goes_first_and_for_anybody() -> None:
    idle = working("ct-1", "A", "fn-idle", 2.0, heard_unix_s=NOW - LIMITS.idle_after_s)
    busy = working("ct-2", "A", "fn-busy", 900.0)
    asks = msgspec.structs.replace(waiter("ct-3", "A"), function_id="fn-new")
    cluster = Cluster(containers=(idle, busy, asks), machines=(Machine("rn-a", 2000, 2000),))
    assert stopped(cluster) == [("ct-1", "has no work and makes room")]
    assert next_turn(heard(cluster, NOW), NOW, LIMITS) is not None


def test_containers_a_function_always_has_stay_for_others_of_its_workspace() -> None:
    kept = working("ct-1", "A", "fn-A", 900.0, heard_unix_s=0.0)
    asks = msgspec.structs.replace(waiter("ct-2", "A"), function_id="fn-new")
    function = Wanted(function_id="fn-A", version=1, target=1, start_within_s=9, least=1)
    cluster = Cluster(
        functions=(function,), containers=(kept, asks), machines=(Machine("rn-a", 1000, 1000),)
    )
    assert stopped(cluster) == []
    other = msgspec.structs.replace(cluster, containers=(kept, waiter("ct-3", "B")))
    assert stopped(other) == [("ct-1", "makes room for another workspace")]


def test_what_may_not_be_preempted_makes_room_only_without_work() -> None:
    kept = working("ct-1", "A", "fn-A", 900.0, keeps_its_place=True)
    cluster = Cluster(
        containers=(kept, waiter("ct-2", "B")), machines=(Machine("rn-a", 1000, 1000),)
    )
    assert stopped(cluster) == []
    idle = msgspec.structs.replace(kept, heard_unix_s=0.0)
    assert stopped(msgspec.structs.replace(cluster, containers=(idle, cluster.containers[1])))


def test_functions_take_turns_on_a_quota_too() -> None:
    held = tuple(working(f"ct-{n}", "A", "fn-A", 900.0 + n) for n in range(2))
    asks = msgspec.structs.replace(waiter("ct-9", "A"), function_id="fn-new")
    cluster = Cluster(
        containers=(*held, asks),
        machines=(Machine("rn-a", 9000, 9000),),
        workspaces=(Workspace("A", 1.0, Quota(containers=2)),),
    )
    assert stopped(cluster) == [("ct-0", "makes room for another function")]


def test_one_nobody_can_make_room_for_holds_up_nobody() -> None:
    held = working("ct-1", "A", "fn-A", 900.0)
    huge = msgspec.structs.replace(
        waiter("ct-2", "B"), function_id="fn-huge", demand=Demand(1000, 100, ("H100:1",))
    )
    kept = working("ct-gpu", "C", "fn-C", 900.0, gpu="H100:1", keeps_its_place=True)
    kept = msgspec.structs.replace(kept, demand=Demand(1000, 100, ("H100:1",)), runner_id="rn-b")
    asks = msgspec.structs.replace(waiter("ct-3", "B"), function_id="fn-small")
    cluster = Cluster(
        containers=(held, kept, huge, asks),
        machines=(Machine("rn-a", 1000, 1000), Machine("rn-b", 1000, 1000, ("H100",))),
    )
    assert stopped(cluster) == [("ct-1", "makes room for another workspace")]
