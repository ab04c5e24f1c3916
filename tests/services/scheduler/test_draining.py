"""A machine that is drained loses its containers to others, and nothing is left short meanwhile."""

import time

import msgspec
import pytest
from hypothesis import given
from squall_contracts import version_subjects
from squall_contracts.fleet import OrderRecord
from squall_scheduler.core import Cluster, Request, Stop, reconcile

from tests.services.scheduler.clusters import LIMITS, NOW, clusters
from tests.services.scheduler.stage import Stage


@given(clusters())
def test_what_must_move_is_told_once_and_does_not_count(cluster: Cluster) -> None:
    wanted = {function.function_id: function for function in cluster.functions}
    changes = reconcile(cluster, NOW, LIMITS)
    stopped = [change.container_id for change in changes if isinstance(change, Stop)]
    assert len(stopped) == len(set(stopped))
    for held in cluster.containers:
        function = wanted.get(held.function_id)
        if function is None or function.gone or not held.must_move:
            continue
        if held.state != "draining" and held.version == function.version:
            assert held.container_id in stopped


@given(clusters())
def test_as_many_are_asked_for_as_if_the_machine_had_none(cluster: Cluster) -> None:
    staying = tuple(held for held in cluster.containers if not held.must_move)

    def requests(of: Cluster) -> dict[str, int]:
        found = reconcile(of, NOW, LIMITS)
        recreated = {f.function_id for f in of.functions if f.recreate}
        return {
            change.function_id: change.count
            for change in found
            if isinstance(change, Request) and change.function_id not in recreated
        }

    assert requests(cluster) == requests(msgspec.structs.replace(cluster, containers=staying))


async def test_drained_runner_is_emptied_and_another_starts_what_it_had(stage: Stage) -> None:
    orders = stage.platform.kv(version_subjects.ORDERS_BUCKET, OrderRecord)
    await stage.declare()
    await stage.join("rn-1")
    await stage.want(1)
    start = await stage.ready()
    await stage.join("rn-2")
    await orders.put("rn-1", OrderRecord(order="drain", since_unix_s=0.0))
    again = await stage.started(2)
    assert [stop.container_id for stop in stage.stops] == [start.container_id]
    assert "drained" in stage.stops[0].reason
    assert (await stage.until_record(again.container_id, "placed")).runner_id == "rn-2"


async def test_cordoned_runner_keeps_what_it_has_and_gets_no_more(stage: Stage) -> None:
    orders = stage.platform.kv(version_subjects.ORDERS_BUCKET, OrderRecord)
    await stage.declare()
    await stage.join("rn-1")
    await stage.want(1)
    await stage.ready()
    await stage.join("rn-2")
    await orders.put("rn-1", OrderRecord(order="cordon", since_unix_s=0.0))
    await stage.want(3)
    await stage.started(3)
    for start in stage.starts[1:]:
        assert (await stage.until_record(start.container_id, "placed")).runner_id == "rn-2"
    assert stage.stops == []
    await orders.delete("rn-1")
    await stage.want(6)
    await stage.started(6)
    placed = [await stage.until_record(start.container_id, "placed") for start in stage.starts[3:]]
    assert "rn-1" in {record.runner_id for record in placed}


@pytest.mark.parametrize("off_s", [-86_400.0, 86_400.0])
async def test_a_machine_whose_clock_is_a_day_off_runs_containers(
    stage: Stage, off_s: float
) -> None:
    await stage.declare()
    await stage.join()
    await stage.want(1)
    start = await stage.started()
    await stage.report(start, "starting", at_unix_s=time.time() + off_s)
    await stage.guest(start, "importing", at_unix_s=time.time() + off_s)
    await stage.guest(start, "ready", at_unix_s=time.time() + off_s)
    record = await stage.until_record(start.container_id, "ready")
    assert abs(record.since_unix_s["starting"] - time.time()) < 60
    await stage.want(2)  # another round, in which its age is looked at
    await stage.started(2)
    assert stage.stops == []


async def test_lost_machine_that_comes_back_is_told_what_was_given_up(stage: Stage) -> None:
    await stage.declare()
    await stage.join("rn-1")
    await stage.want(1)
    start = await stage.ready()
    await stage.runners.delete("rn-1")
    await stage.until_record(start.container_id, "failed")
    assert stage.stops == []
    await stage.kill()  # whoever leads then knows it from the records
    await stage.join("rn-1")
    await stage.start()
    await stage.until(lambda: stage.stops)
    assert [stop.container_id for stop in stage.stops] == [start.container_id]
    again = await stage.started(2)
    await stage.report(again, "starting")
    await stage.guest(again, "ready")
    await stage.until_record(again.container_id, "ready")
    await stage.runners.delete("rn-1")
    await stage.until_record(again.container_id, "failed")
    await stage.join("rn-1")
    await stage.until(lambda: len(stage.stops) == 2)
    assert stage.stops[1].container_id == again.container_id
