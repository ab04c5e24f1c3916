"""What a function's declaration means to the decision."""

from typing import Any

import pytest
from squall_autoscaler.measuring import Measured
from squall_autoscaler.settings import Settings
from squall_contracts.functions import (
    BatchPolicy,
    FunctionRecord,
    FunctionSpec,
    MethodSpec,
    ParameterSpec,
    Scaling,
)

RUN = (MethodSpec(name="run"),)
NEEDED = ParameterSpec(name="size", kind="int")


def policy_of(**fields: Any) -> Any:
    record = FunctionRecord(
        function_id="fn-1",
        app_id="ap-1",
        app_name="a",
        workspace="w",
        environment="main",
        spec=FunctionSpec(name="f", module="m", qualname="f", image_id="im-1", **fields),
    )
    return Measured(record).policy(Settings())


@pytest.mark.parametrize(
    ("fields", "at_once"),
    [
        ({}, 1),
        ({"max_inputs": 8}, 8),
        ({"max_inputs": 8, "target_inputs": 5}, 5),
        ({"batch": BatchPolicy(max_size=20, wait_s=1)}, 20),
        ({"single_use": True}, 1),
    ],
)
def test_container_counts_for_what_it_should_run_at_a_time(
    fields: dict[str, Any], at_once: int
) -> None:
    assert policy_of(**fields).max_inputs == at_once


def test_class_that_needs_parameters_keeps_no_containers_but_its_pools_do() -> None:
    scaling = Scaling(min_containers=2, buffer_containers=1)
    declared = policy_of(methods=RUN, parameters=(NEEDED,), scaling=scaling)
    assert (declared.min_containers, declared.buffer_containers) == (0, 0)
    pool = policy_of(methods=RUN, parameters=(NEEDED,), arguments={"size": 1}, scaling=scaling)
    assert (pool.min_containers, pool.buffer_containers) == (2, 1)
