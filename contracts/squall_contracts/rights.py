"""What each role may touch on the bus: the permission lists that go into its credentials."""

from typing import Final

from squall_contracts import subjects

_WRITERS: Final = {
    subjects.WORKSPACES_BUCKET: ("gateway",),
    subjects.APPS_BUCKET: ("gateway",),
    subjects.FUNCTIONS_BUCKET: ("gateway",),
    subjects.IMAGES_BUCKET: ("builder",),
    subjects.CONTAINERS_BUCKET: ("scheduler",),
    subjects.DEATHS_BUCKET: ("scheduler",),
    subjects.RELEASES_BUCKET: ("gateway",),
    subjects.POOLS_BUCKET: ("gateway",),
    subjects.FAULTS_BUCKET: ("scheduler",),
    subjects.TARGETS_BUCKET: ("autoscaler",),
    subjects.SCHEDULES_BUCKET: ("cron",),
    subjects.RUNNERS_BUCKET: ("runner", "scheduler"),
}
"""Who may write each registry bucket; all services may read them all."""
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
        subjects.up_container(container_id),
        subjects.up_stats(container_id),
        subjects.UP_RENEW,
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
        subjects.superseded(environment, function_id),
    ]


def client_may(owner: str) -> tuple[list[str], list[str]]:
    """(publish, subscribe) of an SDK client: it calls, asks the gateway, and reads what comes back.

    `owner` is the user's public key, which names its inbox. Client ids are chosen per process, so
    a client may listen to the replies of any other client of its own workspace.
    """
    publish = [
        subjects.CALL_ALL,
        "up.api.*",
        "up.hint.*",
        subjects.UP_RENEW,
        "$JS.API.INFO",
        f"$JS.API.STREAM.INFO.{subjects.CALLS}",
    ]
    publish.append(f"$JS.API.STREAM.PURGE.{subjects.DEAD}")
    for stream in (subjects.REPLIES, subjects.RESULTS, subjects.DEAD, subjects.LOGS):
        publish += _reads(stream)
    for bucket in (subjects.CODE_BUCKET, subjects.BLOBS_BUCKET):
        publish += [f"$O.{bucket}.>", f"$JS.API.STREAM.PURGE.OBJ_{bucket}"]
        publish += _reads(f"OBJ_{bucket}")
    subscribe = [
        "reply.*.*.*",
        "result.*.*.*",
        subjects.DOWN_LOCAL,
        "log.>",
        f"{subjects.inbox(owner)}.>",
    ]
    return publish, subscribe


def service_may(service: str, owner: str) -> tuple[list[str], list[str], list[str]]:
    """(publish, subscribe, never publish) of a service in PLATFORM: each bucket has its writers."""
    never = [f"$KV.{bucket}.>" for bucket, writers in _WRITERS.items() if service not in writers]
    return [">"], [">", f"{subjects.inbox(owner)}.>"], never


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
    return [*publish, "log.>", "up.hint.*"], [listen]
