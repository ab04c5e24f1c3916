"""What each role may touch on the bus: the permission lists that go into its credentials."""

from collections.abc import Iterable
from typing import Final

from squall_contracts import (
    access_subjects,
    image_subjects,
    sandbox_file_subjects,
    sandbox_subjects,
    state_subjects,
    subjects,
    terminal_subjects,
    verbs,
    version_subjects,
    web_subjects,
)
from squall_contracts.scopes import EVERYTHING, Scope, included

_WRITERS: Final = {
    subjects.WORKSPACES_BUCKET: ("gateway",),
    subjects.APPS_BUCKET: ("gateway",),
    subjects.FUNCTIONS_BUCKET: ("gateway",),
    web_subjects.WEB_TOKENS_BUCKET: ("gateway",),
    version_subjects.ORDERS_BUCKET: ("gateway",),
    subjects.IMAGES_BUCKET: ("builder",),
    subjects.CONTAINERS_BUCKET: ("scheduler",),
    subjects.DEATHS_BUCKET: ("scheduler",),
    version_subjects.RELEASES_BUCKET: ("gateway",),
    version_subjects.POOLS_BUCKET: ("gateway",),
    version_subjects.FAULTS_BUCKET: ("scheduler",),
    subjects.TARGETS_BUCKET: ("autoscaler",),
    subjects.SCHEDULES_BUCKET: ("cron",),
    subjects.RUNNERS_BUCKET: ("runner", "scheduler"),
    state_subjects.COLLECTIONS_BUCKET: ("gateway",),
    state_subjects.SECRETS_BUCKET: ("gateway",),
    state_subjects.ENVIRONMENTS_BUCKET: ("gateway",),
    sandbox_subjects.SANDBOXES_BUCKET: ("gateway",),
    sandbox_subjects.SANDBOX_NAMES_BUCKET: ("gateway",),
    access_subjects.ACCESS_TOKENS_BUCKET: ("gateway",),
    access_subjects.MEMBERS_BUCKET: ("gateway",),
    access_subjects.SIGN_INS_BUCKET: ("gateway",),
    access_subjects.REVOCATIONS_BUCKET: ("gateway",),
}
"""Who may write each registry bucket; services may read all but those below."""
_READERS: Final = {
    state_subjects.SECRETS_BUCKET: ("gateway",),
    access_subjects.ACCESS_TOKENS_BUCKET: ("gateway",),
    web_subjects.WEB_TOKENS_BUCKET: ("gateway",),
}
_ASKERS: Final = {
    access_subjects.OPEN_SECRETS_ALL: ("runner",),
    access_subjects.OPEN_BUILD_SECRETS: ("builder",),
    access_subjects.MINT_GUEST_ALL: ("runner",),
    access_subjects.MINT_FOR_RUNNER_ALL: ("runner",),
}
"""Requests between services that not everyone may make."""
SERVICES: Final = ("gateway", "builder", "scheduler", "autoscaler", "cron", "runner")


def _reads(stream: str) -> list[str]:
    """What a reader of one stream publishes: look-ups, pull consumers of its own and their acks."""
    api = "$JS.API"
    return [
        f"{api}.STREAM.INFO.{stream}",
        f"{api}.STREAM.MSG.GET.{stream}",
        f"{api}.DIRECT.GET.{stream}",
        f"{api}.DIRECT.GET.{stream}.>",
        f"{api}.CONSUMER.CREATE.{stream}.>",
        f"{api}.CONSUMER.INFO.{stream}.*",
        f"{api}.CONSUMER.MSG.NEXT.{stream}.*",
        f"{api}.CONSUMER.DELETE.{stream}.*",
        f"$JS.ACK.{stream}.>",
    ]


def guest_may(environment: str, function_id: str, container_id: str) -> tuple[list[str], list[str]]:
    """(publish, subscribe) of a guest: its own function's inputs, acks, results and reports."""
    publish = [
        f"call.{environment}.{function_id}.>",
        f"retry.{environment}.{function_id}.>",
        f"reply.{environment}.>",
        f"result.{environment}.>",
        f"dead.{environment}.{function_id}.>",
        f"web.up.{environment}.{function_id}.*",
        f"web.ask.{environment}.{function_id}.*",
        subjects.up_container(container_id),
        subjects.up_stats(container_id),
        terminal_subjects.up_span(container_id),
        subjects.UP_RENEW,
        version_subjects.up_version(function_id),
        f"$O.{subjects.BLOBS_BUCKET}.>",
        f"$JS.API.STREAM.PURGE.OBJ_{subjects.BLOBS_BUCKET}",
        *_reads(f"OBJ_{subjects.BLOBS_BUCKET}"),
        *_reads(f"OBJ_{subjects.CODE_BUCKET}"),
    ]
    for lane in subjects.LANES:
        durable = subjects.consumer(function_id, lane)
        publish += [
            f"$JS.API.CONSUMER.MSG.NEXT.{subjects.CALLS}.{durable}",
            f"$JS.ACK.{subjects.CALLS}.{durable}.>",
        ]
    return publish, [
        f"{subjects.inbox(container_id)}.>",
        subjects.cancel(environment, function_id),
        version_subjects.superseded(environment, function_id),
        version_subjects.lane_opened(environment, function_id),
        web_subjects.web_down(environment, function_id, container_id),
    ]


def client_may(
    owner: str, scopes: Iterable[Scope] = EVERYTHING, container_id: str = ""
) -> tuple[list[str], list[str]]:
    """(publish, subscribe) of an SDK client that has these scopes.

    `owner` is the user's public key, which names its inbox. The client in a container may also ask
    its runner to commit and reload the volumes mounted there.
    """
    has = included(scopes)
    publish = [subjects.UP_RENEW, "$JS.API.INFO", *_asks(has)]
    subscribe = [f"{subjects.inbox(owner)}.>", subjects.DOWN_LOCAL]
    if "read" in has:
        publish += [*_reads(subjects.LOGS), *_reads(subjects.DEAD)]
        publish += [f"$JS.API.STREAM.INFO.{subjects.CALLS}"]
        subscribe.append("log.>")
    if "call" in has:
        own = access_subjects.reply_owner(owner)
        publish += [*_calls(), *_reads_replies(own)]
        subscribe += [
            f"reply.*.{own}.*.*",
            f"result.*.{own}.*.*",
            state_subjects.QUEUE_ALL,
            state_subjects.ROOM_ALL,
            state_subjects.COLLECTION_GONE_ALL,
        ]
    if "deploy" in has:
        publish += [
            *_keeps_objects(subjects.CODE_BUCKET),
            sandbox_file_subjects.UP_FILES,
            sandbox_file_subjects.UP_WATCHES,
            f"$JS.API.STREAM.PURGE.{subjects.DEAD}",
        ]
    if "admin" in has:
        subscribe += terminal_subjects.replies_of_all()  # `squall top` counts them
    if container_id or "deploy" in has:
        speaks, hears = _talks(container_id)
        publish += speaks
        subscribe += hears
    if container_id and "deploy" in has:
        publish.append(terminal_subjects.UP_TERMINALS)  # of commands in sandboxes it made
    return publish, subscribe


def _asks(has: frozenset[Scope]) -> list[str]:
    """The requests of the control API these scopes allow."""
    if "operator" in has:
        return ["up.api.*"]  # also what this server doesn't know, so that it can say so
    return [subjects.up_api(verb.name) for verb in verbs.VERBS.values() if verb.scope in has]


def _calls() -> list[str]:
    """What it takes to call functions, and to use what they share."""
    return [
        subjects.CALL_ALL,
        f"$JS.API.STREAM.INFO.{subjects.CALLS}",  # whether a lane is somebody else's just now
        "up.hint.*",
        *_reads(subjects.RESULTS),
        *_collections(),
        *_keeps_objects(subjects.BLOBS_BUCKET),
        *_keeps_objects(state_subjects.DICT_VALUES_BUCKET),
        *_reads(f"OBJ_{subjects.CODE_BUCKET}"),
        *_keeps_volumes(),
    ]


def _reads_replies(own: str) -> list[str]:
    """What it takes to read again what came to one's own key, and to nobody else's."""
    api, stream = "$JS.API", subjects.REPLIES
    return [
        f"{api}.CONSUMER.CREATE.{stream}.*.reply.*.{own}.>",
        f"{api}.CONSUMER.INFO.{stream}.*",
        f"{api}.CONSUMER.MSG.NEXT.{stream}.*",
        f"{api}.CONSUMER.DELETE.{stream}.*",
        f"$JS.ACK.{stream}.>",
    ]


def _keeps_objects(bucket: str) -> list[str]:
    """What it takes to read and write objects."""
    return [
        f"$O.{bucket}.>",
        f"$JS.API.STREAM.PURGE.OBJ_{bucket}",
        *_reads(f"OBJ_{bucket}"),
    ]


def lobby_may() -> tuple[list[str], list[str]]:
    """(publish, subscribe) of who has no credentials yet: to ask for some."""
    return [access_subjects.SIGN_IN], [f"{subjects.inbox(access_subjects.LOBBY_OWNER)}.>"]


def _talks(container_id: str) -> tuple[list[str], list[str]]:
    """(publish, subscribe) for terminals and tunnels: a container has its own ends of its own ones."""
    if not container_id:
        publish = [
            terminal_subjects.UP_TERMINALS,
            terminal_subjects.TERMINALS_TO_CONTAINERS,
        ]
        return publish, [terminal_subjects.TERMINAL_CALLS, terminal_subjects.TERMINALS_TO_CLIENTS]
    publish = [
        subjects.up_volume(container_id),
        terminal_subjects.TERMINAL_CALLS,
        terminal_subjects.terminals_from_container(container_id),
        terminal_subjects.tunnels_from_container(container_id),
    ]
    return publish, [
        terminal_subjects.terminals_to_container(container_id),
        terminal_subjects.tunnels_to_container(container_id),
    ]


def _collections() -> list[str]:
    """What dicts and queues take. Who holds a dict may remove single entries of it, by CAS, or all;
    items of queues go by being taken."""
    return [
        *state_subjects.DICTS_SUBJECTS,
        *state_subjects.QUEUES_SUBJECTS,
        state_subjects.ROOM_ALL,
        state_subjects.TAKEN_SUBJECT,
        f"$JS.API.DIRECT.GET.{state_subjects.TAKEN}",
        f"$JS.API.STREAM.MSG.GET.{state_subjects.TAKEN}",
        f"$JS.API.STREAM.MSG.DELETE.{state_subjects.DICTS}",
        f"$JS.API.STREAM.MSG.DELETE.{state_subjects.QUEUES}",
        f"$JS.API.STREAM.PURGE.{state_subjects.DICTS}",
        f"$JS.API.STREAM.PURGE.{state_subjects.QUEUES}",
        *_reads(state_subjects.DICTS),
        *_reads(state_subjects.QUEUES),
    ]


def service_may(service: str, owner: str) -> tuple[list[str], list[str], list[str]]:
    """(publish, subscribe, never publish) of a service in PLATFORM: each bucket has its writers, and
    secrets, though sealed, their one reader."""
    never = [f"$KV.{bucket}.>" for bucket, writers in _WRITERS.items() if service not in writers]
    for bucket, readers in _READERS.items():
        if service not in readers:
            never += _reads(f"KV_{bucket}")
    never += [subject for subject, askers in _ASKERS.items() if service not in askers]
    return [">"], [">", f"{subjects.inbox(owner)}.>"], never


def runner_may(runner_id: str, owner: str) -> tuple[list[str], list[str]]:
    """(publish, subscribe) of one runner in PLATFORM: its own commands, its own lease, and requests
    made in its own name. Whoever asks it for something gets an answer, see RUNNER_ANSWERS_S."""
    api, own = "$JS.API", subjects.runner_durable(runner_id)
    stream = subjects.COMMANDS
    read = (
        subjects.IMAGES_BUCKET,
        subjects.FUNCTIONS_BUCKET,
        subjects.CONTAINERS_BUCKET,
        subjects.RUNNERS_BUCKET,
    )
    publish = [
        f"{api}.INFO",
        *(f"{api}.DIRECT.GET.KV_{bucket}.>" for bucket in read),
        *(f"{api}.STREAM.MSG.GET.KV_{bucket}" for bucket in read),  # in clusters: see looking.py
        *_reads(f"KV_{subjects.FUNCTIONS_BUCKET}"),  # watched while it holds snapshots of one
        f"{api}.CONSUMER.CREATE.{stream}.{own}.{subjects.command(runner_id)}",
        f"{api}.CONSUMER.INFO.{stream}.{own}",
        f"{api}.CONSUMER.MSG.NEXT.{stream}.{own}",
        f"$JS.ACK.{stream}.{own}.>",
        f"$KV.{subjects.RUNNERS_BUCKET}.{runner_id}",
        subjects.CONTAINER_EVENT_ALL,
        access_subjects.mint_guest(runner_id),
        access_subjects.mint_for_runner(runner_id),
        access_subjects.open_secrets(runner_id),
        access_subjects.MINT_RENEW,
        image_subjects.SHARE_IMAGE_ALL,
        terminal_subjects.TERMINALS_FROM_RUNNERS,
        sandbox_subjects.ports_from_runner(runner_id),
        sandbox_file_subjects.watches_of(runner_id)[0],
    ]
    return publish, [
        f"{subjects.inbox(owner)}.>",
        subjects.runner_exec(runner_id),
        image_subjects.IMAGE_REMOVED,
        terminal_subjects.runner_usage(runner_id),
        terminal_subjects.runner_terminal(runner_id),
        terminal_subjects.runner_terminal_key(runner_id),
        sandbox_subjects.runner_sandboxes(runner_id),
        sandbox_subjects.ports_to_runner(runner_id),
        terminal_subjects.TERMINALS_TO_RUNNERS,
        sandbox_file_subjects.file_requests_to(runner_id),
        sandbox_file_subjects.watches_of(runner_id)[1],
        sandbox_file_subjects.runner_snapshot(runner_id),
        subjects.VOLUME_REQUESTS_ALL,
    ]


RUNNER_ANSWERS_S: Final = 3700.0
"""For so long after it was asked a runner may answer: a command in a container may run for an hour."""


def service_never_hears(service: str) -> list[str]:
    """Subjects a service must not subscribe to: secrets of those who sign in go there."""
    return [] if service == "gateway" else [access_subjects.SIGN_IN_ALL]


def service_in_workspace_may(service: str, owner: str) -> tuple[list[str], list[str]]:
    """(publish, subscribe) of a service in a workspace's account.

    Runners and builders stand on machines that run users' code, so they get no more than they
    need: files to read, output to store.
    """
    listen = f"{subjects.inbox(owner)}.>"
    if service not in {"runner", "builder"}:
        return [">"], [">", listen]
    publish = [
        "$JS.API.INFO",
        *_reads(f"OBJ_{subjects.CODE_BUCKET}"),
        *_reads(f"OBJ_{subjects.BLOBS_BUCKET}"),
    ]
    images = image_subjects.IMAGE_FILES_BUCKET
    if service == "runner":
        publish += [*_keeps_volumes(of_heads=True), *_reads(f"OBJ_{images}")]
    else:
        publish += _keeps_objects(images)
    return [*publish, "log.>", "up.hint.*"], [listen]


def _keeps_volumes(*, of_heads: bool = False) -> list[str]:
    """What it takes to read and change volumes; `of_heads`: those there are, without their names."""
    bucket = state_subjects.VOLUMES_BUCKET
    keys = f"$KV.{bucket}.{state_subjects.VOLUME_HEADS_KEY}>" if of_heads else f"$KV.{bucket}.>"
    return [
        keys,
        f"$O.{bucket}.>",
        f"$JS.API.STREAM.PURGE.OBJ_{bucket}",
        *_reads(f"KV_{bucket}"),
        *_reads(f"OBJ_{bucket}"),
    ]
