"""Every subject, stream, bucket and durable name, and the only place that spells them.

Each workspace is a NATS account of its own, so names inside it carry no workspace. A workspace's
clients and guests reach the platform under `up.`, which PLATFORM sees as `up.<account>.…`; the
platform reaches a workspace under `down.<account>.…`, which the workspace sees as `down.…`.
"""

import re
from typing import Final

from squall_contracts.calls import Lane

_TOKEN: Final = re.compile(r"[A-Za-z0-9_=-]{1,128}")
_ENVIRONMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _token(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(
            f"{value!r} can't be part of a subject: use 1 to 128 letters, digits, '-', '_' or '='"
        )
    return value


def check_environment(value: str) -> str:
    """`value` if it names an environment. ValueError says what is allowed."""
    if not _ENVIRONMENT.fullmatch(value):
        raise ValueError(
            f"{value!r} can't name an environment: start with a letter or digit, "
            "then letters, digits, '-' or '_', at most 64 characters"
        )
    return value


# --- workspace account: streams -------------------------------------------------------------

CALLS: Final = "CALLS"
"""WorkQueue: inputs until acked, and retries until they fall due."""
CALLS_SUBJECTS: Final = ("call.>", "retry.>")
REPLIES: Final = "REPLIES"
"""Limits, an hour: results somebody waits for; kept only to bridge a reconnect."""
REPLIES_SUBJECTS: Final = ("reply.>",)
RESULTS: Final = "RESULTS"
"""Limits, seven days: results of spawned calls, collected later."""
RESULTS_SUBJECTS: Final = ("result.>",)
DEAD: Final = "DEAD"
"""Limits, thirty days: inputs that ran out of attempts."""
DEAD_SUBJECTS: Final = ("dead.>",)
LOGS: Final = "LOGS"
"""Limits, days and bytes: what containers printed."""
LOGS_SUBJECTS: Final = ("log.>",)

LANES: Final[tuple[Lane, ...]] = ("now", "bulk", "bulk2", "bulk3", "bulk4")
BULK_LANES: Final = LANES[1:]
"""Those of map and spawn_map, which take turns."""
STANDING_LANES: Final = LANES[:2]
"""Those every function has."""
OPENED_LANES: Final = LANES[2:]
"""Those that are opened when somebody needs one."""


def call(environment: str, function_id: str, lane: Lane, call_id: str) -> str:
    """Where a client publishes the inputs of one call."""
    return f"call.{check_environment(environment)}.{_token(function_id)}.{lane}.{_token(call_id)}"


def call_lane(environment: str, function_id: str, lane: Lane) -> str:
    """What one function's consumer of one lane takes."""
    return f"call.{check_environment(environment)}.{_token(function_id)}.{lane}.*"


def call_function(environment: str, function_id: str) -> str:
    """All waiting inputs of one function."""
    return f"call.{check_environment(environment)}.{_token(function_id)}.>"


CALL_ALL: Final = "call.>"
CALLS_ALL: Final = ">"
"""Filter of all that CALLS holds: waiting inputs, running ones, and retries not due yet."""


def call_parts(subject: str) -> tuple[str, str, Lane, str]:
    """(environment, function id, lane, call id) of a call subject. ValueError for another subject."""
    parts = subject.split(".")
    lane = next((lane for lane in LANES if len(parts) == 5 and lane == parts[3]), None)
    if lane is None or parts[0] != "call":
        raise ValueError(f"{subject!r} is not a call subject")
    return parts[1], parts[2], lane, parts[4]


def waiting_for(subject: str) -> tuple[str, bool]:
    """(function id, whether it is due) of a subject in CALLS: a retry is not due yet.
    ValueError for another subject."""
    parts = subject.split(".")
    if len(parts) < 5 or parts[0] not in {"call", "retry"}:
        raise ValueError(f"{subject!r} is not a subject of {CALLS}")
    return parts[2], parts[0] == "call"


def calls_of(call_id: str) -> tuple[str, str]:
    """Filters that purge a cancelled call: its waiting inputs and its delayed retries."""
    return f"call.*.*.*.{_token(call_id)}", f"retry.*.*.*.{_token(call_id)}.*"


def calls_of_function(environment: str, function_id: str) -> tuple[str, str]:
    """Filters that purge a stopped function's waiting inputs and delayed retries."""
    middle = f"{check_environment(environment)}.{_token(function_id)}"
    return f"call.{middle}.>", f"retry.{middle}.>"


def calls_of_gone(function_id: str) -> tuple[str, str]:
    """The same of a function of which nothing but its id is known."""
    return f"call.*.{_token(function_id)}.>", f"retry.*.{_token(function_id)}.>"


def retry(call_subject: str, input_id: str) -> str:
    """Where an input waits for its next attempt before the server moves it back to `call_subject`."""
    call_parts(call_subject)
    return f"retry{call_subject.removeprefix('call')}.{_token(input_id)}"


def consumer(function_id: str, lane: Lane) -> str:
    """Durable consumer of one function and lane on CALLS."""
    return f"{_token(function_id)}_{lane}"


def _client(identifier: str) -> str:
    """Two tokens: whose key it is, and which process; a service's id has nobody's key."""
    owner, separator, process = identifier.partition(".")
    return f"{_token(owner)}.{_token(process)}" if separator else f"_.{_token(owner)}"


def reply(environment: str, client_id: str, call_id: str) -> str:
    """Where results go that a client waits for: `client_id` as of client_id(…), or any id of a
    service's."""
    return f"reply.{check_environment(environment)}.{_client(client_id)}.{_token(call_id)}"


def result(environment: str, client_id: str, call_id: str) -> str:
    """Where results go that may be collected days later."""
    return f"result.{check_environment(environment)}.{_client(client_id)}.{_token(call_id)}"


KEPT_RESULTS: Final = "result."
"""What subjects of results begin with that may be collected days later."""


def replies_to(environment: str, client_id: str) -> tuple[str, str]:
    """What a client listens to: everything sent back to it."""
    middle = f"{check_environment(environment)}.{_client(client_id)}"
    return f"reply.{middle}.*", f"result.{middle}.*"


def replies_to_anywhere(client_id: str) -> str:
    """What is sent back to a client, in whichever environment, and not stored for long."""
    return f"reply.*.{_client(client_id)}.*"


def result_of_call(environment: str, call_id: str) -> str:
    """A spawned call's stored results, whoever spawned it."""
    return f"result.{check_environment(environment)}.*.*.{_token(call_id)}"


def reply_of_call(environment: str, call_id: str) -> str:
    """A call's results that somebody waits for, whoever that is."""
    return f"reply.{check_environment(environment)}.*.*.{_token(call_id)}"


def dead(environment: str, function_id: str, input_id: str) -> str:
    """Where the letter of an input that failed for good is kept."""
    return f"dead.{check_environment(environment)}.{_token(function_id)}.{_token(input_id)}"


def dead_letters(environment: str) -> str:
    """All dead letters of an environment."""
    return f"dead.{check_environment(environment)}.>"


def dead_letter(environment: str, input_id: str) -> str:
    """One dead letter, whichever function it is of."""
    return f"dead.{check_environment(environment)}.*.{_token(input_id)}"


def cancel(environment: str, function_id: str) -> str:
    """Unstored: the gateway tells a function's guests to interrupt inputs."""
    return f"cancel.{check_environment(environment)}.{_token(function_id)}"


def log(environment: str, app_id: str, function_id: str, container_id: str) -> str:
    """Where a container's output is stored."""
    return (
        f"log.{check_environment(environment)}.{_token(app_id)}"
        f".{_token(function_id)}.{_token(container_id)}"
    )


def logs_of_app(environment: str, app_id: str) -> str:
    return f"log.{check_environment(environment)}.{_token(app_id)}.>"


def logs_of_container(container_id: str) -> str:
    return f"log.*.*.*.{_token(container_id)}"


CODE_BUCKET: Final = "code"
"""Objects named by sha256: source files, pickled functions, build contexts."""
BLOBS_BUCKET: Final = "blobs"
"""Objects named `<call id>/<n>`: payloads past the inline limit; they go with their call."""


# --- workspace -> platform, as the workspace spells it ----------------------------------------


def up_api(verb: str) -> str:
    """A request of the control API."""
    return f"up.api.{_token(verb)}"


def up_hint(function_id: str) -> str:
    """Unstored: an input waits."""
    return f"up.hint.{_token(function_id)}"


def up_container(container_id: str) -> str:
    """A guest's GuestReport, stored in EVENTS."""
    return f"up.container.{_token(container_id)}"


def up_stats(container_id: str) -> str:
    """A guest's GuestStats, unstored."""
    return f"up.stats.{_token(container_id)}"


def up_volume(container_id: str) -> str:
    """A request of a container's to its runner: commit or reload a volume it has mounted."""
    return f"up.volume.{_token(container_id)}"


UP_RENEW: Final = "up.renew"

# --- the same, as the platform sees it ----------------------------------------------------------

API_ALL: Final = "up.*.api.*"
HINT_ALL: Final = "up.*.hint.*"
GUEST_REPORT_ALL: Final = "up.*.container.*"
STATS_ALL: Final = "up.*.stats.*"
RENEW_ALL: Final = "up.*.renew"


def volume_requests(account: str, container_id: str) -> str:
    """up_volume of one container, as its runner hears it."""
    return f"up.{_token(account)}.volume.{_token(container_id)}"


VOLUME_REQUESTS_ALL: Final = "up.*.volume.*"
"""volume_requests of all containers."""


def speaker(subject: str) -> str:
    """The account a message under `up.` came from: the server put it there, nobody can forge it."""
    head, account, *rest = subject.split(".")
    if head != "up" or not rest:
        raise ValueError(f"{subject!r} does not come from a workspace")
    return account


def last(subject: str) -> str:
    """The last token of a subject: a verb, function or container id."""
    return subject.rpartition(".")[2]


# --- what PLATFORM exports and workspaces import -------------------------------------------------

UP_EXPORT: Final = "up.*.>"
DOWN_EXPORT: Final = "down.*.>"
EXPORT_ACCOUNT_TOKEN: Final = 2
"""Which token of an exported subject is the importing account: the server enforces it."""
UP_LOCAL: Final = "up.>"
DOWN_LOCAL: Final = "down.>"


def up_import(account: str) -> str:
    """The part of UP_EXPORT one workspace may import, as UP_LOCAL."""
    return f"up.{_token(account)}.>"


def down_import(account: str) -> str:
    """The part of DOWN_EXPORT one workspace may import, as DOWN_LOCAL."""
    return f"down.{_token(account)}.>"


# --- platform -> workspace ----------------------------------------------------------------------


def build_feed(account: str, image_id: str) -> str:
    """Platform side: BuildNews for the workspace's waiting clients."""
    return f"down.{_token(account)}.build.{_token(image_id)}"


def down_build(image_id: str) -> str:
    """Workspace side of build_feed."""
    return f"down.build.{_token(image_id)}"


def app_feed(account: str, app_id: str) -> str:
    """Platform side: ContainerNews for the app's clients."""
    return f"down.{_token(account)}.app.{_token(app_id)}"


def down_app(app_id: str) -> str:
    """Workspace side of app_feed."""
    return f"down.app.{_token(app_id)}"


# --- PLATFORM: streams, requests, registry --------------------------------------------------------

BUILDS: Final = "BUILDS"
"""WorkQueue: image builds to do."""
BUILDS_SUBJECTS: Final = ("build.>",)
BUILD_ALL: Final = "build.*"
COMMANDS: Final = "COMMANDS"
"""WorkQueue: what each runner is told to do."""
COMMANDS_SUBJECTS: Final = ("command.>",)
EVENTS: Final = "EVENTS"
"""Limits, days: what became of every container."""
EVENTS_SUBJECTS: Final = ("event.>", GUEST_REPORT_ALL)

BUILDER_DURABLE: Final = "builder"
SCHEDULER_DURABLE: Final = "scheduler"
MAX_DELIVERIES_ADVISORY: Final = f"$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.{CALLS}.*"
"""Workspace account: the server gave up delivering an input, which stays in CALLS until removed."""


def build(image_id: str) -> str:
    return f"build.{_token(image_id)}"


def command(runner_id: str) -> str:
    return f"command.{_token(runner_id)}"


def runner_durable(runner_id: str) -> str:
    """Durable consumer of one runner on COMMANDS."""
    return f"runner_{_token(runner_id)}"


def container_event(container_id: str) -> str:
    """A runner's ContainerReport, stored in EVENTS."""
    return f"event.container.{_token(container_id)}"


CONTAINER_EVENT_ALL: Final = "event.container.*"
REMOVE_IMAGE: Final = "platform.image.remove"


FUNCTION_FAULTS: Final = "platform.function.faults"
"""Gateway -> scheduler (request): FaultsOf."""
FUNCTION_RESET: Final = "platform.function.reset"
"""Gateway -> scheduler (request): ResetFaults."""
FUNCTION_LANE: Final = "platform.function.lane"
"""Gateway -> scheduler (request): LaneWanted."""


def runner_exec(runner_id: str) -> str:
    """Gateway -> runner (request): ExecRequest."""
    return f"platform.exec.{_token(runner_id)}"


WORKSPACES_BUCKET: Final = "workspaces"
APPS_BUCKET: Final = "apps"
FUNCTIONS_BUCKET: Final = "functions"
IMAGES_BUCKET: Final = "images"
CONTAINERS_BUCKET: Final = "containers"
TARGETS_BUCKET: Final = "targets"
RUNNERS_BUCKET: Final = "runners"
LEASES_BUCKET: Final = "leases"
SCHEDULES_BUCKET: Final = "schedules"
DEATHS_BUCKET: Final = "deaths"
"""How many containers died under an input; entries expire."""


def app_key(account: str, app_id: str) -> str:
    return f"{_token(account)}.{_token(app_id)}"


def app_version_key(account: str, app_id: str, version: int) -> str:
    """History entry of a deployed app, in the apps bucket too."""
    return f"{_token(account)}.{_token(app_id)}.v{version}"


def image_key(account: str, image_id: str) -> str:
    return f"{_token(account)}.{_token(image_id)}"


# --- inboxes -------------------------------------------------------------------------------------


def inbox(owner_id: str) -> str:
    """Prefix of the inboxes of one connection: nobody else may listen there."""
    return f"_INBOX_{_token(owner_id)}"
