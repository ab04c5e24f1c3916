"""What a function's declaration means to the decision."""

from typing import Any

import pytest
from squall_autoscaler.core import desired
from squall_autoscaler.measuring import STATS_HOLD_S, Measured
from squall_autoscaler.settings import Settings
from squall_contracts.functions import (
    BatchPolicy,
    FunctionRecord,
    FunctionSpec,
    MethodSpec,
    ParameterSpec,
    Scaling,
)
from squall_contracts.placement import ContainerRecord, GuestStats
from squall_contracts.web import WebSpec

READY = ContainerRecord(
    container_id="ct-1",
    function_id="fn-1",
    function_name="f",
    app_id="ap-1",
    app_name="a",
    workspace="w",
    environment="main",
    version=1,
    state="ready",
    since_unix_s={"ready": 0.0},
)
RUN = (MethodSpec(name="run"),)
NEEDED = ParameterSpec(name="size", kind="int")


def policy_of(**fields: Any) -> Any:
    return measured(**fields).policy(Settings())


def measured(**fields: Any) -> Measured:
    record = FunctionRecord(
        function_id="fn-1",
        app_id="ap-1",
        app_name="a",
        workspace="w",
        environment="main",
        spec=FunctionSpec(name="f", module="m", qualname="f", image_id="im-1", **fields),
    )
    return Measured(record)


def stats(finished: int, unstored: int) -> GuestStats:
    return GuestStats(
        container_id="ct-1",
        function_id="fn-1",
        running=unstored,
        queued=0,
        finished=finished,
        run_s=0.1,
        unstored=unstored,
    )


def test_what_a_container_has_that_is_not_stored_counts_as_work_while_it_says_so() -> None:
    site = measured(web=WebSpec(kind="asgi"), max_inputs=2)
    site.contained(READY)
    site.heard(stats(0, 8), 10.0)
    site.sampled(3, 0, 10.1)
    assert site.pool().backlog == 11
    site.sampled(0, 0, 10.1 + STATS_HOLD_S)
    assert site.pool().backlog == 0
    site.heard(stats(0, 8), 20.0)
    site.released("ct-1")
    site.sampled(0, 0, 20.1)
    assert site.pool().backlog == 0


def test_a_container_that_answered_requests_was_needed_until_then() -> None:
    site = measured(web=WebSpec(kind="asgi"), scaling=Scaling(scaledown_window_s=5))
    site.contained(READY)
    site.sampled(0, 0, 0.0)
    site.heard(stats(3, 0), 10.0)

    def wanted(now_s: float) -> int | None:
        target = desired(site.pool(), site.policy(Settings()), now_s)
        return None if target is None else target.containers

    assert wanted(14.9) == 1
    assert wanted(15.1) is None


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
