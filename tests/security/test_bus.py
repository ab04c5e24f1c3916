"""Attacks over the bus: each fails because NATS refuses it, whatever the programs behind do."""

import asyncio

import pytest
from squall._calling.results import Router
from squall.exception import Error
from squall_bus.bus import Bus
from squall_bus.errors import NoResponder, PermissionRefused
from squall_bus.streams.job import Job
from squall_bus.streams.pull import StandingPull
from squall_contracts import access_subjects, apps, sandbox_file_subjects, subjects, verbs
from squall_contracts.calls import Results, Returned
from squall_contracts.failures import Refused
from squall_contracts.identity import MintGuest, MintGuestReply, MintReply, MintService
from squall_contracts.secrets import OpenReply, OpenSecrets

from tests.services.gateway.conftest import Client, Platform

from .ways_in import container, place, runner, signed_in

API = "$JS.API"


def unheard(_: object) -> None:
    raise AssertionError("heard what it must not hear")


async def refused(bus: Bus, *publishes: str) -> None:
    for subject in publishes:
        with pytest.raises(PermissionRefused):
            await bus.call(subject, b"{}", timeout_s=2)


async def deaf(bus: Bus, *subscribes: str) -> None:
    for subject in subscribes:
        with pytest.raises(PermissionRefused):
            await bus.subscribe(subject, unheard)


# --- another user of the same workspace -----------------------------------------------------------


async def test_wildcards_hear_nothing(platform: Platform, client: Client) -> None:
    async with signed_in(platform, client, "eve", "deploy") as eve:
        await deaf(eve.bus, ">", "*.>", "reply.>", "call.>", "_INBOX.>", "$SYS.>", "$JS.>", "up.>")


async def test_replies_of_another_client_are_neither_heard_nor_read(
    platform: Platform, client: Client
) -> None:
    async with (
        signed_in(platform, client, "ann", "call") as ann,
        signed_in(platform, client, "eve", "deploy") as eve,
    ):
        own = access_subjects.inbox_owner(ann.bus.wire.inbox)
        hers = access_subjects.client_id(own, "cl-1")
        heard: list[bytes] = []
        await ann.bus.subscribe(
            subjects.replies_to("main", hers)[0], lambda delivery: heard.append(delivery.data)
        )
        await ann.bus.wire.roundtrip()  # the server has heard of it
        await deaf(eve.bus, *subjects.replies_to("main", hers), f"{ann.bus.wire.inbox}.>")
        workspace = await platform.context.workspaces.get(platform.account)
        await workspace.store(subjects.reply("main", hers, "fc-1"), b"result")
        await ann.bus.wire.roundtrip()
        assert heard == [b"result"]
        stream, subject = subjects.REPLIES, subjects.reply("main", hers, "fc-1")
        await refused(
            eve.bus,
            f"{API}.STREAM.MSG.GET.{stream}",
            f"{API}.DIRECT.GET.{stream}",
            f"{API}.DIRECT.GET.{stream}.{subject}",
            f"{API}.CONSUMER.CREATE.{stream}.mine",
            f"{API}.CONSUMER.CREATE.{stream}.mine.{subject}",
            f"{API}.CONSUMER.CREATE.{stream}.mine.>",
        )


async def test_filter_in_a_request_cannot_differ_from_its_subject(
    platform: Platform, client: Client
) -> None:
    """Whoever may make a consumer of their own replies can't make one of all."""
    async with signed_in(platform, client, "eve", "call") as eve:
        own = access_subjects.reply_owner(access_subjects.inbox_owner(eve.bus.wire.inbox))
        body = (
            b'{"stream_name":"%s","config":{"name":"mine","ack_policy":"none","filter_subject":">"}}'
            % subjects.REPLIES.encode()
        )
        verb = f"{API}.CONSUMER.CREATE.{subjects.REPLIES}.mine.reply.*.{own}.>"
        answer = await eve.bus.call(verb, body)
        assert b'"error"' in answer.data


async def test_client_changes_no_streams_and_takes_no_inputs(
    platform: Platform, client: Client
) -> None:
    async with signed_in(platform, client, "eve", "admin") as eve:
        calls = subjects.CALLS
        await refused(
            eve.bus,
            f"{API}.STREAM.CREATE.MINE",
            f"{API}.STREAM.UPDATE.{calls}",
            f"{API}.STREAM.DELETE.{calls}",
            f"{API}.STREAM.PURGE.{calls}",
            f"{API}.STREAM.MSG.GET.{calls}",
            f"{API}.CONSUMER.CREATE.{calls}.mine",
            f"{API}.CONSUMER.MSG.NEXT.{calls}.{subjects.consumer('fn-a', 'now')}",
            f"{API}.STREAM.SNAPSHOT.{calls}",
        )


async def test_another_accounts_claims_and_monitoring_are_out_of_reach(
    platform: Platform, client: Client
) -> None:
    async with signed_in(platform, client, "eve", "admin") as eve:
        await refused(
            eve.bus,
            "$SYS.REQ.CLAIMS.UPDATE",
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.ACCOUNT.PING.CONNZ",
            access_subjects.MINT_SERVICE,
            access_subjects.mint_guest("rn-1"),
            subjects.command("rn-1"),
            access_subjects.SIGN_IN,
        )


async def test_guessed_ids_of_another_workspace_are_not_found(
    platform: Platform, client: Client
) -> None:
    await place(platform, "ct-a", "fn-a", state="ready")
    other = await platform.client("other")
    async with other.bus:
        for verb, request in (
            (verbs.STOP_CONTAINER, apps.StopContainerRequest(container_id="ct-a")),
            (verbs.LIST_CONTAINERS, apps.ListContainers(container_id="ct-a")),
            (verbs.EXEC, apps.ExecRequest(container_id="ct-a", argv=("id",), timeout_s=1)),
        ):
            answer = await other.ask(verb, request)
            assert isinstance(answer, Refused) and answer.kind == "not_found"


# --- code in a container --------------------------------------------------------------------------


async def test_guest_reads_no_results_and_no_other_functions_inputs(platform: Platform) -> None:
    held = await container(platform)
    async with await platform.connect(held.guest, "ct-a") as bus:
        for stream in (subjects.CALLS, subjects.REPLIES, subjects.RESULTS, subjects.DEAD):
            await refused(
                bus,
                f"{API}.STREAM.MSG.GET.{stream}",
                f"{API}.DIRECT.GET.{stream}",
                f"{API}.CONSUMER.CREATE.{stream}.mine",
                f"{API}.STREAM.PURGE.{stream}",
            )
        theirs = subjects.consumer("fn-b", "now")
        await refused(
            bus,
            f"{API}.CONSUMER.MSG.NEXT.{subjects.CALLS}.{theirs}",
            f"$JS.ACK.{subjects.CALLS}.{theirs}.1.1.1.1.1",
            subjects.call("main", "fn-b", "now", "fc-1"),
            subjects.up_container("ct-b"),
            subjects.up_api("list_apps"),
        )
        await deaf(bus, ">", "reply.>", "call.>", f"{subjects.inbox('ct-b')}.>")


async def test_guest_of_one_environment_answers_in_no_other(platform: Platform) -> None:
    held = await container(platform)
    async with await platform.connect(held.guest, "ct-a") as bus:
        await refused(bus, subjects.reply("prod", "cl-1", "fc-1"))


class Waiting:
    """Who waits for the results of one call."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.heard: asyncio.Queue[Results] = asyncio.Queue()

    def deliver(self, results: Results) -> None:
        self.heard.put_nowait(results)

    def fail(self, error: Error) -> None:
        raise error


async def test_only_results_of_the_subjects_call_count(platform: Platform, client: Client) -> None:
    """A guest may publish wherever its environment's callers listen."""
    held, waiting = await container(platform), Waiting("fc-1")
    async with (
        signed_in(platform, client, "ann", "call") as ann,
        await platform.connect(held.guest, "ct-a") as guest,
    ):
        hers = access_subjects.client_id(access_subjects.inbox_owner(ann.bus.wire.inbox), "cl-1")
        router = Router(ann.bus, hers)
        router.add(waiting)
        await router.listen("main")
        await ann.bus.wire.roundtrip()  # the server has heard of it
        for call_id in ("fc-2", "fc-1"):
            said = Results(call_id=call_id, container_id="ct-a", items=(Returned(0, b"x"),))
            await guest.store(subjects.reply("main", hers, "fc-1"), said)
        assert (await asyncio.wait_for(waiting.heard.get(), 30)).call_id == "fc-1"
        assert waiting.heard.empty()


async def test_input_that_was_taken_is_there_for_nobody_again(platform: Platform) -> None:
    held = await container(platform)
    workspace = await platform.context.workspaces.get(platform.account)
    durable = subjects.consumer("fn-a", "now")
    await workspace.admin.ensure_consumer(
        subjects.CALLS, durable, subjects=subjects.call_lane("main", "fn-a", "now")
    )
    asked = subjects.call("main", "fn-a", "now", "fc-1")
    stored = await workspace.store(asked, b"x", msg_id="fc-1")
    async with await platform.connect(held.guest, "ct-a") as guest:
        taken: asyncio.Queue[Job] = asyncio.Queue()
        pull = StandingPull(guest, subjects.CALLS, durable, taken.put_nowait, batch=1)
        await pull.start()
        job = await asyncio.wait_for(taken.get(), 30)
        await job.ack_sync(guest)
        await pull.close()
    assert await workspace.store(asked, b"x", msg_id="fc-1") == stored, "sent again, stored once"
    assert await workspace.admin.next_message(subjects.CALLS, "call.>") is None


async def test_code_in_a_container_does_what_deployers_may_and_not_what_admins_may(
    platform: Platform,
) -> None:
    held = await container(platform)
    async with await platform.connect(held.client) as bus:
        listed = await bus.request(
            subjects.up_api("list_apps"), apps.ListApps(environment=None), verbs.LIST_APPS.reply
        )
        assert isinstance(listed, apps.AppList)
        for verb in verbs.VERBS.values():
            if verb.scope in {"admin", "operator"}:
                await refused(bus, subjects.up_api(verb.name))


async def test_restricted_container_reaches_nothing_of_its_workspace(platform: Platform) -> None:
    held = await container(platform, restricted=True)
    async with await platform.connect(held.client) as bus:
        await refused(
            bus,
            subjects.up_api("list_apps"),
            subjects.call("main", "fn-a", "now", "fc-1"),
            f"{API}.DIRECT.GET.{subjects.RESULTS}",
            f"{API}.CONSUMER.CREATE.OBJ_{subjects.CODE_BUCKET}.mine",
            f"$O.{subjects.BLOBS_BUCKET}.C.x",
            subjects.up_hint("fn-a"),
        )
        await deaf(bus, "log.>", "reply.>")


# --- a runner that was broken into ----------------------------------------------------------------


async def test_runner_gets_credentials_for_its_own_containers_alone(platform: Platform) -> None:
    await place(platform, "ct-theirs", "fn-a", runner_id="rn-2")
    await place(platform, "ct-over", "fn-a", state="stopped")
    key = platform.server.keys.client("test")
    async with runner(platform, "rn-1") as bus:
        for container_id in ("ct-theirs", "ct-over", "ct-none"):
            request = MintGuest(
                container_id=container_id,
                guest_public_key=public(key.jwt),
                client_public_key=public(key.jwt),
            )
            answer = await bus.request(access_subjects.mint_guest("rn-1"), request, MintGuestReply)
            assert isinstance(answer, Refused) and answer.kind == "denied"
        await refused(
            bus, access_subjects.mint_guest("rn-2"), access_subjects.mint_for_runner("rn-2")
        )


async def test_runner_opens_secrets_of_its_own_containers_alone(platform: Platform) -> None:
    await place(platform, "ct-theirs", "fn-a", runner_id="rn-2")
    async with runner(platform, "rn-1") as bus:
        request = OpenSecrets(container_id="ct-theirs", runner_id="rn-2", public_key=b"k" * 32)
        answer = await bus.request(access_subjects.open_secrets("rn-1"), request, OpenReply)
        assert isinstance(answer, Refused) and answer.kind == "denied"
        await refused(bus, access_subjects.open_secrets("rn-2"))


async def test_runner_neither_poses_as_a_service_nor_commands_others(platform: Platform) -> None:
    async with runner(platform, "rn-1") as bus:
        for service in ("gateway", "scheduler"):
            request = MintService(
                service=service, account=platform.account, public_key="U" + "A" * 55
            )
            answer = await bus.request(access_subjects.mint_for_runner("rn-1"), request, MintReply)
            assert isinstance(answer, Refused)
        theirs = subjects.runner_durable("rn-2")
        commands = subjects.COMMANDS
        await refused(
            bus,
            access_subjects.MINT_SERVICE,
            subjects.command("rn-2"),
            subjects.build("im-1"),
            f"{API}.CONSUMER.CREATE.{commands}.{theirs}.{subjects.command('rn-2')}",
            f"{API}.CONSUMER.CREATE.{commands}.{subjects.runner_durable('rn-1')}",
            f"{API}.CONSUMER.MSG.NEXT.{commands}.{theirs}",
            f"$KV.{subjects.RUNNERS_BUCKET}.rn-2",
            f"$KV.{subjects.CONTAINERS_BUCKET}.ct-a",
            f"$KV.{subjects.FUNCTIONS_BUCKET}.fn-a",
            f"{API}.DIRECT.GET.KV_{access_subjects.ACCESS_TOKENS_BUCKET}.x",
            f"{API}.STREAM.DELETE.{commands}",
        )
        await deaf(bus, ">", access_subjects.SIGN_IN_ALL, subjects.API_ALL, "platform.>")


# --- a service that was broken into ---------------------------------------------------------------


@pytest.mark.parametrize("service", ["scheduler", "autoscaler", "cron", "builder"])
async def test_service_acts_as_no_runner_and_sees_no_tokens(
    platform: Platform, service: str
) -> None:
    credentials = platform.server.keys.service(service)
    async with await platform.connect(credentials) as bus:
        await refused(
            bus,
            access_subjects.mint_guest("rn-1"),
            access_subjects.open_secrets("rn-1"),
            f"{API}.DIRECT.GET.KV_{access_subjects.ACCESS_TOKENS_BUCKET}.x",
            f"$KV.{access_subjects.MEMBERS_BUCKET}.x",
        )
        await deaf(bus, access_subjects.SIGN_IN_ALL)


def public(jwt: str) -> str:
    from squall_bus.access.accounts import owner_of

    return owner_of(jwt)


# --- files of containers --------------------------------------------------------------------------


async def test_files_of_containers_are_for_those_who_may_look_into_them(
    platform: Platform, client: Client
) -> None:
    files = sandbox_file_subjects.up_files("rn-1", "ct-a")
    async with signed_in(platform, client, "eve", "call") as eve:
        await refused(eve.bus, files, sandbox_file_subjects.watch_to_runner("rn-1", "wt-1"))
    async with signed_in(platform, client, "dan", "deploy") as dan:
        with pytest.raises(NoResponder):  # allowed, and nobody is there
            await dan.bus.call(files, b"{}", timeout_s=2)


async def test_runner_hears_no_file_requests_to_another(platform: Platform, client: Client) -> None:
    async with runner(platform, "rn-1") as mine:
        await mine.subscribe(sandbox_file_subjects.file_requests_to("rn-1"), unheard)
        await deaf(
            mine,
            sandbox_file_subjects.file_requests_to("rn-2"),
            sandbox_file_subjects.watches_of("rn-2")[1],
            "up.*.files.>",
        )
        await refused(mine, sandbox_file_subjects.watch_from_runner("A", "rn-2", "wt-1"))
