"""Which machines are told of a deployed function before anybody calls it."""

from typing import Any

import msgspec
from squall_bus.testing import FakeServer
from squall_contracts.functions import FunctionRecord, FunctionSpec, Resources
from squall_scheduler.capacity import Demand, Machine
from squall_scheduler.prefetching import is_due, likely, once_per_image
from squall_scheduler.settings import Settings
from squall_scheduler.stock import Stock

from .stage import ACCOUNT, Stage


def function(**spec: Any) -> FunctionRecord:
    made = FunctionSpec(**{"name": "f", "module": "m", "qualname": "f", "image_id": "im-1", **spec})
    return FunctionRecord(
        function_id="fn-1",
        app_id="ap-1",
        app_name="app",
        workspace=ACCOUNT,
        environment="main",
        spec=made,
    )


async def test_likely_machines_hear_of_a_deployed_function(server: FakeServer) -> None:
    stage = await Stage.open(server, Settings(prefetch_machines=2))
    await stage.start()
    for number in (1, 2, 3):
        await stage.join(f"rn-{number}")
    await stage.declare(function_id="fn-0")
    await stage.want(1, "fn-0")
    await stage.started()
    await stage.declare(ephemeral=False)
    await stage.until(lambda: len(stage.prepared) == 2)
    assert [runner_id for runner_id, _ in stage.prepared] == ["rn-1", "rn-2"]
    start = stage.prepared[0][1]
    assert (start.function_id, start.container_id) == ("fn-1", "")
    await stage.declare(ephemeral=False, version=2)
    await stage.until(lambda: len(stage.prepared) == 4)
    await stage.close()


async def test_a_scheduler_that_takes_over_repeats_nothing(server: FakeServer) -> None:
    stage = await Stage.open(server, Settings())
    await stage.join()
    await stage.declare(ephemeral=False)
    await stage.start()
    await stage.want(1)
    await stage.started()
    assert not stage.prepared
    await stage.close()


def test_runs_and_classes_that_need_parameters_are_not_due() -> None:
    deployed = function()
    assert is_due(None, deployed)
    assert not is_due(deployed, deployed)
    assert is_due(deployed, msgspec.structs.replace(deployed, version=2))
    assert not is_due(None, msgspec.structs.replace(deployed, ephemeral=True))
    assert not is_due(None, msgspec.structs.replace(deployed, bound_to="fn-2"))
    needs = function(parameters=({"name": "size", "kind": "int"},))
    needs = msgspec.convert(msgspec.to_builtins(needs), FunctionRecord)
    assert not is_due(None, needs)


def test_the_machine_filled_first_is_told_first_and_a_full_one_not_at_all() -> None:
    machines = [Machine(f"rn-{n}", cpu_m=4000, memory_mib=4000) for n in (1, 2, 3)]
    taken = [("rn-2", Demand(2000, 100), ""), ("rn-3", Demand(4000, 100), "")]
    assert likely(Demand(1000, 100), Stock(machines, taken), 3) == ["rn-2", "rn-1"]
    assert likely(Demand(1000, 100), Stock(machines, taken), 1) == ["rn-2"]


def test_functions_of_one_image_are_told_of_once_but_for_their_snapshots() -> None:
    plain, other = function(), function(image_id="im-2")
    held = function(memory_snapshot=True)
    gpu = function(resources=Resources(gpus=("H100:1",)))
    assert once_per_image([plain, plain, other, held, held, gpu]) == [plain, other, held, held, gpu]
