"""The control API as a table: what a client may ask of the gateway, and what it gets."""

from typing import Any, Final

import msgspec

from squall_contracts import apps, autoscaling, breakers, images, placement, schedules
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
SERVER_INFO: Final = Verb("server_info", apps.ServerInfo, apps.ServerReply)
ENSURE_IMAGE: Final = Verb("ensure_image", images.EnsureImage, images.ImageReply)
LIST_IMAGES: Final = Verb("list_images", images.ListImages, images.ImageListReply)
PRUNE_IMAGES: Final = Verb("prune_images", images.PruneImages, images.PruneReply)

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
        SERVER_INFO,
        ENSURE_IMAGE,
        LIST_IMAGES,
        PRUNE_IMAGES,
    )
}
