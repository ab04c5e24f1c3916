"""A live function's bounds and figures over the control API, and the operator's quotas."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from squall_contracts import autoscaling, subjects, verbs
from squall_contracts.autoscaling import GetFunctionStats, GetScaling, UpdateScaling
from squall_contracts.calls import Input, Inputs
from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionRecord, Scaling
from squall_contracts.identity import Quota, WorkspaceRecord
from squall_contracts.message import new_id
from squall_contracts.placement import ContainerRecord
from squall_gateway import core

from tests.services.gateway.conftest import Client, Platform, spec
from tests.services.gateway.test_apps import deploy


async def deployed(client: Client, **scaling: int) -> str:
    function = spec("f", scaling=Scaling(**scaling), max_inputs=2)
    reply = await client.ask(verbs.DEPLOY_APP, deploy(functions=(function,)))
    found: str = reply.function_ids["f"]
    return found


async def test_bounds_change_until_the_next_deploy(platform: Platform, client: Client) -> None:
    function_id = await deployed(client, max_containers=4)
    changed = await client.ask(
        verbs.UPDATE_SCALING, UpdateScaling(function_id=function_id, min_containers=2)
    )
    assert changed.scaling == Scaling(min_containers=2, max_containers=4)
    shown = await client.ask(verbs.GET_SCALING, GetScaling(function_id=function_id))
    assert shown == changed
    functions = platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    entry = await functions.get(function_id)
    assert entry is not None
    assert (entry.value.spec.scaling, entry.value.version) == (changed.scaling, 1)
    await deployed(client, max_containers=4)
    shown = await client.ask(verbs.GET_SCALING, GetScaling(function_id=function_id))
    assert shown.scaling == Scaling(max_containers=4)


async def test_bounds_that_contradict_are_refused(client: Client) -> None:
    function_id = await deployed(client, max_containers=4)
    refused = await client.ask(
        verbs.UPDATE_SCALING, UpdateScaling(function_id=function_id, min_containers=5)
    )
    assert refused == Refused(kind="invalid", message="min_containers 5 is above max_containers 4")


async def test_another_workspace_neither_sees_nor_changes_them(
    platform: Platform, client: Client
) -> None:
    function_id = await deployed(client)
    other = await platform.client("other")
    async with other.bus:
        for verb, request in (
            (verbs.GET_SCALING, GetScaling(function_id=function_id)),
            (verbs.UPDATE_SCALING, UpdateScaling(function_id=function_id, min_containers=1)),
            (verbs.FUNCTION_STATS, GetFunctionStats(function_id=function_id)),
        ):
            refused = await other.ask(verb, request)
            assert isinstance(refused, Refused)
            assert refused.kind == "not_found"


def test_reset_takes_the_default_again() -> None:
    now = Scaling(min_containers=2, max_containers=4, scaledown_window_s=9)
    update = UpdateScaling(
        function_id="fn-1", buffer_containers=1, reset=("max_containers", "scaledown_window_s")
    )
    assert core.rescaled(now, update) == Scaling(min_containers=2, buffer_containers=1)


async def test_stats_count_what_waits_and_what_was_handed_out(
    platform: Platform, client: Client
) -> None:
    function_id = await deployed(client)
    call_id = new_id("fc")
    inputs = Inputs(
        call_id=call_id,
        reply_to=subjects.reply("main", "cl-1", call_id),
        items=(Input(0, b""),),
    )
    await client.bus.store(subjects.call("main", function_id, "now", call_id), inputs)
    record = ContainerRecord(
        container_id="ct-1",
        function_id=function_id,
        function_name="f",
        app_id="ap-1",
        app_name="demo",
        workspace=platform.account,
        environment="main",
        version=1,
        state="ready",
        since_unix_s={"ready": time.time()},
    )
    await platform.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord).put("ct-1", record)
    now = await client.ask(verbs.FUNCTION_STATS, GetFunctionStats(function_id=function_id))
    assert now == autoscaling.FunctionStatsNow(backlog=1, containers=1, running=0, headroom=2)


def quota(platform: Platform, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "squall_gateway.quota", "--keys", str(folder / "keys")]
    return subprocess.run(
        [*command, "--server", platform.server.url, *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


async def test_the_operator_sets_weights_and_quotas(platform: Platform, tmp_path: Path) -> None:
    options = ("test", "--weight", "2", "--containers", "5", "--gpu", "h100=1")
    done = await asyncio.to_thread(quota, platform, tmp_path, *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["weight"] == 2.0
    workspaces = platform.bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)
    entry = await workspaces.get(platform.account)
    assert entry is not None
    assert entry.value.quota == Quota(containers=5, gpus={"H100": 1})
    done = await asyncio.to_thread(quota, platform, tmp_path, "test", "--none", "--cpu", "4")
    entry = await workspaces.get(platform.account)
    assert entry is not None
    assert (entry.value.quota, entry.value.weight) == (Quota(cpu=4.0), 2.0)


async def test_what_the_operator_mistypes_is_one_line(platform: Platform, tmp_path: Path) -> None:
    done = await asyncio.to_thread(quota, platform, tmp_path, "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("squall_gateway.quota: there is no workspace 'nobody'")
    done = await asyncio.to_thread(quota, platform, tmp_path, "test", "--weight", "-1")
    assert done.returncode == 1
    assert "weight" in done.stderr
