"""A machine that is drained loses its containers to others, and nothing is left short meanwhile."""

import msgspec
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
