"""The control API as a table: what a client may ask of the gateway, and what it gets."""

from typing import Any, Final

import msgspec

from squall_contracts import (
    apps,
    autoscaling,
    breakers,
    collections,
    environments,
    fleet,
    images,
    placement,
    schedules,
    secrets,
    terminals,
    webtokens,
)
from squall_contracts.message import Message


class Verb(msgspec.Struct, frozen=True):
    """One request of the control API, asked on `subjects.up_api(name)`."""

    name: str
    request: type[Message]
    reply: Any
    """A union to decode the reply as; every one includes Refused."""


START_APP: Final = Verb("start_app", apps.StartApp, apps.StartReply)
DEPLOY_APP: Final = Verb("deploy_app", apps.DeployApp, apps.StartReply)
KEEP_APP: Final = Verb("keep_app", apps.KeepApp, apps.DoneReply)
STOP_APP: Final = Verb("stop_app", apps.StopApp, apps.DoneReply)
LIST_APPS: Final = Verb("list_apps", apps.ListApps, apps.AppListReply)
APP_HISTORY: Final = Verb("app_history", apps.AppHistory, apps.AppVersionsReply)
ROLLBACK_APP: Final = Verb("rollback_app", apps.RollbackApp, apps.StartReply)
FIND_APP: Final = Verb("find_app", apps.FindApp, apps.FindAppReply)
FIND_FUNCTION: Final = Verb("find_function", apps.FindFunction, apps.FindReply)
GET_SCALING: Final = Verb("get_scaling", autoscaling.GetScaling, autoscaling.ScalingReply)
UPDATE_SCALING: Final = Verb("update_scaling", autoscaling.UpdateScaling, autoscaling.ScalingReply)
FUNCTION_STATS: Final = Verb(
    "function_stats", autoscaling.GetFunctionStats, autoscaling.FunctionStatsReply
)
LIST_FUNCTIONS: Final = Verb("list_functions", breakers.ListFunctions, breakers.FunctionListReply)
RESET_FUNCTION: Final = Verb("reset_function", breakers.ResetFunction, breakers.ResetReply)
BIND_POOL: Final = Verb("bind_pool", apps.BindPool, apps.BindReply)
LIST_SCHEDULES: Final = Verb("list_schedules", schedules.ListSchedules, schedules.ScheduleListReply)
PAUSE_SCHEDULE: Final = Verb("pause_schedule", schedules.PauseSchedule, schedules.PauseReply)
CANCEL_CALL: Final = Verb("cancel_call", apps.CancelCall, apps.DoneReply)
LIST_CONTAINERS: Final = Verb("list_containers", apps.ListContainers, placement.ContainerListReply)
STOP_CONTAINER: Final = Verb("stop_container", apps.StopContainerRequest, apps.DoneReply)
EXEC: Final = Verb("exec", apps.ExecRequest, apps.ExecReply)
OPEN_TERMINAL: Final = Verb("open_terminal", terminals.OpenTerminal, terminals.OpenTerminalReply)
SERVER_INFO: Final = Verb("server_info", apps.ServerInfo, apps.ServerReply)
ENSURE_IMAGE: Final = Verb("ensure_image", images.EnsureImage, images.ImageReply)
LIST_RUNNERS: Final = Verb("list_runners", fleet.ListRunners, fleet.RunnerListReply)
ORDER_RUNNER: Final = Verb("order_runner", fleet.OrderRunner, fleet.RunnerReply)
LIST_IMAGES: Final = Verb("list_images", images.ListImages, images.ImageListReply)
CREATE_TOKEN: Final = Verb("create_token", webtokens.CreateToken, webtokens.CreateTokenReply)
LIST_TOKENS: Final = Verb("list_tokens", webtokens.ListTokens, webtokens.TokenListReply)
DELETE_TOKEN: Final = Verb("delete_token", webtokens.DeleteToken, apps.DoneReply)
PRUNE_IMAGES: Final = Verb("prune_images", images.PruneImages, images.PruneReply)
OPEN_COLLECTION: Final = Verb(
    "open_collection", collections.OpenCollection, collections.CollectionReply
)
OPEN_EPHEMERAL: Final = Verb(
    "open_ephemeral", collections.OpenEphemeral, collections.CollectionReply
)
FIND_COLLECTION: Final = Verb(
    "find_collection", collections.FindCollection, collections.CollectionReply
)
KEEP_EPHEMERAL: Final = Verb("keep_ephemeral", collections.KeepEphemeral, apps.DoneReply)
LIST_COLLECTIONS: Final = Verb(
    "list_collections", collections.ListCollections, collections.CollectionListReply
)
DELETE_COLLECTION: Final = Verb("delete_collection", collections.DeleteCollection, apps.DoneReply)
GET_SEALING_KEY: Final = Verb("get_sealing_key", secrets.GetSealingKey, secrets.SealingKeyReply)
ROTATE_SEALING_KEY: Final = Verb(
    "rotate_sealing_key", secrets.RotateSealingKey, secrets.RotateReply
)
PUT_SECRET: Final = Verb("put_secret", secrets.PutSecret, secrets.SecretReply)
DELETE_SECRET: Final = Verb("delete_secret", secrets.DeleteSecret, apps.DoneReply)
FIND_SECRET: Final = Verb("find_secret", secrets.FindSecret, secrets.SecretReply)
LIST_SECRETS: Final = Verb("list_secrets", secrets.ListSecrets, secrets.SecretListReply)
CREATE_ENVIRONMENT: Final = Verb(
    "create_environment", environments.CreateEnvironment, environments.EnvironmentReply
)
UPDATE_ENVIRONMENT: Final = Verb(
    "update_environment", environments.UpdateEnvironment, environments.EnvironmentReply
)
DELETE_ENVIRONMENT: Final = Verb(
    "delete_environment", environments.DeleteEnvironment, apps.DoneReply
)
LIST_ENVIRONMENTS: Final = Verb(
    "list_environments", environments.ListEnvironments, environments.EnvironmentListReply
)
FIND_ENVIRONMENT: Final = Verb(
    "find_environment", environments.FindEnvironment, environments.EnvironmentReply
)

VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        START_APP,
        DEPLOY_APP,
        KEEP_APP,
        STOP_APP,
        LIST_APPS,
        APP_HISTORY,
        ROLLBACK_APP,
        FIND_APP,
        FIND_FUNCTION,
        GET_SCALING,
        UPDATE_SCALING,
        FUNCTION_STATS,
        LIST_FUNCTIONS,
        RESET_FUNCTION,
        BIND_POOL,
        LIST_SCHEDULES,
        PAUSE_SCHEDULE,
        CANCEL_CALL,
        LIST_CONTAINERS,
        STOP_CONTAINER,
        EXEC,
        OPEN_TERMINAL,
        SERVER_INFO,
        ENSURE_IMAGE,
        LIST_RUNNERS,
        ORDER_RUNNER,
        LIST_IMAGES,
        PRUNE_IMAGES,
        OPEN_COLLECTION,
        OPEN_EPHEMERAL,
        FIND_COLLECTION,
        KEEP_EPHEMERAL,
        LIST_COLLECTIONS,
        DELETE_COLLECTION,
        GET_SEALING_KEY,
        ROTATE_SEALING_KEY,
        PUT_SECRET,
        DELETE_SECRET,
        FIND_SECRET,
        LIST_SECRETS,
        CREATE_ENVIRONMENT,
        UPDATE_ENVIRONMENT,
        DELETE_ENVIRONMENT,
        LIST_ENVIRONMENTS,
        FIND_ENVIRONMENT,
        CREATE_TOKEN,
        LIST_TOKENS,
        DELETE_TOKEN,
    )
}
