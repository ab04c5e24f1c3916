"""Calls, containers and images over the control API."""

import asyncio
from typing import Any

import pytest
from squall_contracts import apps, images, placement, subjects, verbs
from squall_contracts.calls import CancelInputs, Input, Inputs, Raised, Results
from squall_contracts.failures import Refused
from squall_contracts.message import decode, new_id

from tests.services.gateway.conftest import IMAGE, RECIPE, Client, Platform, spec
from tests.services.gateway.test_identity import put_container


async def stored_results(platform: Platform, subject: str) -> Results:
    workspace = await platform.context.workspaces.get(platform.account)
    stream = subjects.REPLIES if subject.startswith("reply.") else subjects.RESULTS
    message = await workspace.admin.last_message(stream, subject)
    assert message is not None
    return decode(message.data, Results)


@pytest.mark.parametrize("told_where", [True, False])
async def test_cancelled_call_leaves_no_input_and_tells_its_waiter(
    platform: Platform, client: Client, told_where: bool
) -> None:
    call_id = new_id("fc")
    reply_to = subjects.result("main", "cl-1", call_id)
    for index in range(3):
        inputs = Inputs(call_id=call_id, reply_to=reply_to, items=(Input(index, b"x"),))
        await client.bus.store(subjects.call("main", "fn-a", "bulk", call_id), inputs)
    other = subjects.call("main", "fn-a", "bulk", "fc-other")
    await client.bus.store(other, b"x")
    told: asyncio.Queue[CancelInputs] = asyncio.Queue()
    workspace = await platform.context.workspaces.get(platform.account)
    await workspace.subscribe(
        subjects.cancel("main", "fn-a"), lambda d: told.put_nowait(decode(d.data, CancelInputs))
    )
    request = apps.CancelCall(
        call_id=call_id,
        environment="main",
        function_id="fn-a",
        reply_to=reply_to if told_where else "",
    )
    assert await client.ask(verbs.CANCEL_CALL, request) == apps.Done()
    assert (await asyncio.wait_for(told.get(), 30)).call_id == call_id
    assert await workspace.admin.backlog(subjects.CALLS, ">") == {other: 1}
    outcome = (await stored_results(platform, reply_to)).items[0]
    assert isinstance(outcome, Raised)
    assert (outcome.index, outcome.failure.kind) == (-1, "cancelled")


async def test_cancel_without_a_function_reaches_those_with_containers(
    platform: Platform, client: Client
) -> None:
    await put_container(platform, "ct-a")
    call_id = new_id("fc")
    reply_to = subjects.result("main", "cl-1", call_id)
    done = Results(call_id=call_id, container_id="ct-a", items=())
    workspace = await platform.context.workspaces.get(platform.account)
    await workspace.store(reply_to, done)
    told: asyncio.Queue[CancelInputs] = asyncio.Queue()
    await workspace.subscribe(
        subjects.cancel("main", "fn-a"), lambda d: told.put_nowait(decode(d.data, CancelInputs))
    )
    request = apps.CancelCall(call_id=call_id, environment="main", terminate_containers=True)
    assert await client.ask(verbs.CANCEL_CALL, request) == apps.Done()
    assert (await asyncio.wait_for(told.get(), 30)).terminate_container
    assert isinstance((await stored_results(platform, reply_to)).items[0], Raised)


async def test_cancel_that_names_anothers_subject_is_refused(client: Client) -> None:
    request = apps.CancelCall(call_id="fc-1", environment="main", reply_to="log.main.a.b")
    refused = await client.ask(verbs.CANCEL_CALL, request)
    assert isinstance(refused, Refused) and "reply_to" in refused.message


async def test_containers_are_listed_for_their_workspace_only(
    platform: Platform, client: Client
) -> None:
    await put_container(platform, "ct-a")
    await put_container(platform, "ct-b", "stopped")
    listed = await client.ask(verbs.LIST_CONTAINERS, apps.ListContainers())
    assert [record.container_id for record in listed.containers] == ["ct-a"]
    other = await platform.client("other")
    async with other.bus:
        listed = await other.ask(verbs.LIST_CONTAINERS, apps.ListContainers(all=True))
        assert listed.containers == ()
        refused = await other.ask(
            verbs.STOP_CONTAINER, apps.StopContainerRequest(container_id="ct-a")
        )
        assert isinstance(refused, Refused) and refused.kind == "not_found"


async def test_stop_of_a_container_is_a_command_to_its_runner(
    platform: Platform, client: Client
) -> None:
    await put_container(platform, "ct-a")
    request = apps.StopContainerRequest(container_id="ct-a", graceful=False)
    assert await client.ask(verbs.STOP_CONTAINER, request) == apps.Done()
    stored = await platform.bus.admin.last_message(subjects.COMMANDS, subjects.command("rn-1"))
    assert stored is not None
    command: Any = decode(stored.data, placement.Command)  # type: ignore[arg-type]
    assert (command.container_id, command.grace_s) == ("ct-a", 0.0)


async def test_exec_is_passed_to_the_runner_and_its_absence_is_told(
    platform: Platform, client: Client
) -> None:
    await put_container(platform, "ct-a")
    request = apps.ExecRequest(container_id="ct-a", argv=("ls",))
    refused = await client.ask(verbs.EXEC, request)
    assert isinstance(refused, Refused) and "rn-1" in refused.message

    async def run(_subject: str, asked: apps.ExecRequest) -> apps.ExecFinished:
        return apps.ExecFinished(exit_code=3, stdout=asked.argv[0].encode(), stderr=b"")

    await platform.bus.respond(subjects.runner_exec("rn-1"), apps.ExecRequest, run)
    finished = await client.ask(verbs.EXEC, request)
    assert (finished.exit_code, finished.stdout) == (3, b"ls")


async def test_image_that_is_there_is_not_built_again(platform: Platform, client: Client) -> None:
    status = await client.ask(verbs.ENSURE_IMAGE, images.EnsureImage(recipe=RECIPE))
    assert (status.image_id, status.state) == (IMAGE, "ready")
    assert await platform.bus.admin.backlog(subjects.BUILDS, ">") == {}


async def test_missing_image_is_queued_once_and_a_failed_one_again(
    platform: Platform, client: Client
) -> None:
    recipe = images.Recipe(base=RECIPE.base, steps=(images.PipInstall(packages=("numpy",)),))
    ensure = images.EnsureImage(recipe=recipe)
    statuses = [await client.ask(verbs.ENSURE_IMAGE, ensure) for _ in range(2)]
    assert {status.state for status in statuses} == {"building"}
    image_id = images.image_id(recipe)
    waiting = {subjects.build(image_id): 1}
    assert await platform.bus.admin.backlog(subjects.BUILDS, ">") == waiting
    await platform.have_image(image_id=image_id, state="failed", failed_step="1")
    assert (await client.ask(verbs.ENSURE_IMAGE, ensure)).state == "building"
    waiting = {subjects.build(image_id): 2}
    assert await platform.bus.admin.backlog(subjects.BUILDS, ">") == waiting


async def test_prune_removes_only_what_no_function_uses(platform: Platform, client: Client) -> None:
    await platform.have_image(image_id="im-unused")
    await platform.have_image(image_id="im-building", state="building")
    app = apps.DeployApp(environment="main", name="demo", functions=(spec(),))
    await client.ask(verbs.DEPLOY_APP, app)
    removed: list[str] = []

    async def remove(_subject: str, asked: images.RemoveImage) -> images.ImagesPruned:
        removed.append(asked.image_id)
        return images.ImagesPruned(image_ids=(asked.image_id,), freed_bytes=7)

    await platform.bus.respond(subjects.REMOVE_IMAGE, images.RemoveImage, remove)
    pruned = await client.ask(verbs.PRUNE_IMAGES, images.PruneImages())
    assert pruned == images.ImagesPruned(image_ids=("im-unused",), freed_bytes=7)
    assert removed == ["im-unused"]


async def test_server_says_what_it_is(platform: Platform, client: Client) -> None:
    record = placement.RunnerRecord(
        runner_id="rn-1", hostname="h", runtime="process", cpu=1, memory_mib=1
    )
    await platform.bus.kv(subjects.RUNNERS_BUCKET, placement.RunnerRecord).put("rn-1", record)
    told = await client.ask(verbs.SERVER_INFO, apps.ServerInfo())
    assert (told.workspace, told.runtimes) == ("test", ("process",))


async def test_unknown_verb_and_broken_body_are_refused_in_one_line(client: Client) -> None:
    for verb, body in (("fly", b"\x80"), ("start_app", b"\xc1"), ("start_app", b"\x93\x01")):
        reply = await client.bus.call(subjects.up_api(verb), body)
        refused = decode(reply.data, Refused)
        assert refused.kind == "invalid" and "\n" not in refused.message


async def test_every_verb_has_a_handler(client: Client) -> None:
    for name in verbs.VERBS:
        reply = await client.bus.call(subjects.up_api(name), b"\xc0")
        assert name in decode(reply.data, Refused).message


async def test_requests_in_flight_are_answered_before_the_gateway_ends(
    platform: Platform, client: Client
) -> None:
    await put_container(platform, "ct-a")
    asked = asyncio.Event()

    async def run(_subject: str, _asked: apps.ExecRequest) -> apps.ExecFinished:
        asked.set()
        platform.context.stopping.set()
        await asyncio.sleep(0.2)
        return apps.ExecFinished(exit_code=0, stdout=b"", stderr=b"")

    await platform.bus.respond(subjects.runner_exec("rn-1"), apps.ExecRequest, run)
    request = apps.ExecRequest(container_id="ct-a", argv=("ls",))
    assert (await client.ask(verbs.EXEC, request)).exit_code == 0
