"""The control API as a table: what a client may ask of the gateway, and what it gets."""

from typing import Any, Final

import msgspec

from squall_contracts import (
    apps,
    autoscaling,
    breakers,
    collections,
    dashboard,
    environments,
    fleet,
    graphs,
    identity,
    images,
    lanes,
    placement,
    sandbox_snapshots,
    sandboxes,
    schedules,
    secrets,
    terminals,
    tokens,
    tunnels,
    usage,
    webtokens,
)
from squall_contracts.message import Message
from squall_contracts.scopes import Scope


class Verb(msgspec.Struct, frozen=True):
    """One request of the control API, asked on `subjects.up_api(name)`."""

    name: str
    request: type[Message]
    reply: Any
    """A union to decode the reply as; every one includes Refused."""
    scope: Scope = "deploy"
    """What it takes to ask: NATS refuses the requests of who has less."""

    @property
    def may_repeat(self) -> bool:
        """Whether asking again does no harm when nobody has answered: whoever took it may be gone."""
        return self.scope == "read" or self.name in _HARMLESS


_HARMLESS: Final = frozenset({"keep_app", "bind_pool", "cancel_call", "keep_ephemeral"})
"""They change something, to what it is already if they are asked twice."""


START_APP: Final = Verb("start_app", apps.StartApp, apps.StartReply)
DEPLOY_APP: Final = Verb("deploy_app", apps.DeployApp, apps.StartReply)
KEEP_APP: Final = Verb("keep_app", apps.KeepApp, apps.DoneReply)
STOP_APP: Final = Verb("stop_app", apps.StopApp, apps.DoneReply)
LIST_APPS: Final = Verb("list_apps", apps.ListApps, apps.AppListReply, scope="read")
APP_HISTORY: Final = Verb("app_history", apps.AppHistory, apps.AppVersionsReply, scope="read")
ROLLBACK_APP: Final = Verb("rollback_app", apps.RollbackApp, apps.StartReply)
FIND_APP: Final = Verb("find_app", apps.FindApp, apps.FindAppReply, scope="read")
FIND_FUNCTION: Final = Verb("find_function", apps.FindFunction, apps.FindReply, scope="read")
GET_SCALING: Final = Verb(
    "get_scaling", autoscaling.GetScaling, autoscaling.ScalingReply, scope="read"
)
UPDATE_SCALING: Final = Verb("update_scaling", autoscaling.UpdateScaling, autoscaling.ScalingReply)
FUNCTION_STATS: Final = Verb(
    "function_stats", autoscaling.GetFunctionStats, autoscaling.FunctionStatsReply, scope="read"
)
LIST_FUNCTIONS: Final = Verb(
    "list_functions", breakers.ListFunctions, breakers.FunctionListReply, scope="read"
)
RESET_FUNCTION: Final = Verb("reset_function", breakers.ResetFunction, breakers.ResetReply)
BIND_POOL: Final = Verb("bind_pool", apps.BindPool, apps.BindReply, scope="call")
GET_CALL_GRAPH: Final = Verb(
    "get_call_graph", graphs.GetCallGraph, graphs.CallGraphReply, scope="read"
)
OPEN_LANE: Final = Verb("open_lane", lanes.OpenLane, lanes.LaneReply, scope="call")
LIST_SCHEDULES: Final = Verb(
    "list_schedules", schedules.ListSchedules, schedules.ScheduleListReply, scope="read"
)
PAUSE_SCHEDULE: Final = Verb("pause_schedule", schedules.PauseSchedule, schedules.PauseReply)
CANCEL_CALL: Final = Verb("cancel_call", apps.CancelCall, apps.DoneReply, scope="call")
LIST_CONTAINERS: Final = Verb(
    "list_containers", apps.ListContainers, placement.ContainerListReply, scope="read"
)
STOP_CONTAINER: Final = Verb("stop_container", apps.StopContainerRequest, apps.DoneReply)
EXEC: Final = Verb("exec", apps.ExecRequest, apps.ExecReply)
SERVER_INFO: Final = Verb("server_info", apps.ServerInfo, apps.ServerReply, scope="read")
OPEN_TERMINAL: Final = Verb("open_terminal", terminals.OpenTerminal, terminals.OpenTerminalReply)
OPEN_TUNNEL: Final = Verb("open_tunnel", tunnels.OpenTunnel, tunnels.OpenTunnelReply)
GET_USAGE: Final = Verb("get_usage", usage.GetUsage, usage.UsageReply, scope="read")
ENSURE_IMAGE: Final = Verb("ensure_image", images.EnsureImage, images.ImageReply)
LIST_RUNNERS: Final = Verb(
    "list_runners", fleet.ListRunners, fleet.RunnerListReply, scope="operator"
)
ORDER_RUNNER: Final = Verb("order_runner", fleet.OrderRunner, fleet.RunnerReply, scope="operator")
LIST_IMAGES: Final = Verb("list_images", images.ListImages, images.ImageListReply, scope="read")
CREATE_TOKEN: Final = Verb("create_token", webtokens.CreateToken, webtokens.CreateTokenReply)
LIST_TOKENS: Final = Verb(
    "list_tokens", webtokens.ListTokens, webtokens.TokenListReply, scope="read"
)
DELETE_TOKEN: Final = Verb("delete_token", webtokens.DeleteToken, apps.DoneReply)
OPEN_DASHBOARD: Final = Verb(
    "open_dashboard", dashboard.OpenDashboard, dashboard.OpenDashboardReply
)
SNAPSHOT_CONTAINER: Final = Verb(
    "snapshot_container", sandbox_snapshots.SnapshotContainer, sandbox_snapshots.SnapshotReply
)
PRUNE_IMAGES: Final = Verb("prune_images", images.PruneImages, images.PruneReply)
OPEN_COLLECTION: Final = Verb(
    "open_collection", collections.OpenCollection, collections.CollectionReply, scope="call"
)
OPEN_EPHEMERAL: Final = Verb(
    "open_ephemeral", collections.OpenEphemeral, collections.CollectionReply, scope="call"
)
FIND_COLLECTION: Final = Verb(
    "find_collection", collections.FindCollection, collections.CollectionReply, scope="read"
)
KEEP_EPHEMERAL: Final = Verb(
    "keep_ephemeral", collections.KeepEphemeral, apps.DoneReply, scope="call"
)
LIST_COLLECTIONS: Final = Verb(
    "list_collections", collections.ListCollections, collections.CollectionListReply, scope="read"
)
DELETE_COLLECTION: Final = Verb("delete_collection", collections.DeleteCollection, apps.DoneReply)
GET_SEALING_KEY: Final = Verb("get_sealing_key", secrets.GetSealingKey, secrets.SealingKeyReply)
ROTATE_SEALING_KEY: Final = Verb(
    "rotate_sealing_key", secrets.RotateSealingKey, secrets.RotateReply, scope="admin"
)
PUT_SECRET: Final = Verb("put_secret", secrets.PutSecret, secrets.SecretReply)
DELETE_SECRET: Final = Verb("delete_secret", secrets.DeleteSecret, apps.DoneReply)
FIND_SECRET: Final = Verb("find_secret", secrets.FindSecret, secrets.SecretReply, scope="read")
LIST_SECRETS: Final = Verb(
    "list_secrets", secrets.ListSecrets, secrets.SecretListReply, scope="read"
)
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
    "list_environments",
    environments.ListEnvironments,
    environments.EnvironmentListReply,
    scope="read",
)
FIND_ENVIRONMENT: Final = Verb(
    "find_environment", environments.FindEnvironment, environments.EnvironmentReply, scope="read"
)
ISSUE_TOKEN: Final = Verb("issue_token", tokens.IssueToken, tokens.IssueReply, scope="admin")
ISSUE_PLATFORM_TOKEN: Final = Verb(
    "issue_platform_token", tokens.IssuePlatformToken, tokens.IssueReply, scope="operator"
)
LIST_ACCESS_TOKENS: Final = Verb(
    "list_access_tokens", tokens.ListAccessTokens, tokens.AccessTokenListReply, scope="admin"
)
REVOKE_TOKEN: Final = Verb("revoke_token", tokens.RevokeToken, apps.DoneReply, scope="admin")
ROTATE_TOKEN: Final = Verb("rotate_token", tokens.RotateToken, tokens.IssueReply, scope="admin")
PUT_MEMBER: Final = Verb("put_member", tokens.PutMember, tokens.MemberReply, scope="admin")
REMOVE_MEMBER: Final = Verb("remove_member", tokens.RemoveMember, apps.DoneReply, scope="admin")
LIST_MEMBERS: Final = Verb(
    "list_members", tokens.ListMembers, tokens.MemberListReply, scope="admin"
)
CREATE_WORKSPACE: Final = Verb(
    "create_workspace", identity.CreateWorkspace, identity.WorkspaceReply, scope="operator"
)
LIST_WORKSPACES: Final = Verb(
    "list_workspaces", identity.ListWorkspaces, identity.WorkspaceListReply, scope="operator"
)
SET_QUOTA: Final = Verb("set_quota", identity.SetQuota, identity.WorkspaceReply, scope="operator")

CREATE_SANDBOX: Final = Verb("create_sandbox", sandboxes.CreateSandbox, sandboxes.SandboxReply)
FIND_SANDBOX: Final = Verb(
    "find_sandbox", sandboxes.FindSandbox, sandboxes.SandboxReply, scope="read"
)
LIST_SANDBOXES: Final = Verb(
    "list_sandboxes", sandboxes.ListSandboxes, sandboxes.SandboxListReply, scope="read"
)
END_SANDBOX: Final = Verb("end_sandbox", sandboxes.EndSandbox, sandboxes.SandboxReply)
TAG_SANDBOX: Final = Verb("tag_sandbox", sandboxes.TagSandbox, sandboxes.SandboxReply)
WRITE_INPUT: Final = Verb("write_input", sandboxes.WriteInput, sandboxes.WriteInputReply)
GET_TUNNELS: Final = Verb("get_tunnels", sandboxes.GetTunnels, sandboxes.SandboxTunnelsReply)
CREATE_CONNECT_TOKEN: Final = Verb(
    "create_connect_token", sandboxes.CreateConnectToken, sandboxes.ConnectTokenReply
)
RELOAD_VOLUMES: Final = Verb(
    "reload_volumes", sandboxes.ReloadVolumes, sandboxes.ReloadVolumesReply
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
        OPEN_LANE,
        GET_CALL_GRAPH,
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
        OPEN_TUNNEL,
        GET_USAGE,
        SERVER_INFO,
        ENSURE_IMAGE,
        LIST_RUNNERS,
        ORDER_RUNNER,
        LIST_IMAGES,
        PRUNE_IMAGES,
        SNAPSHOT_CONTAINER,
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
        ISSUE_TOKEN,
        ISSUE_PLATFORM_TOKEN,
        LIST_ACCESS_TOKENS,
        REVOKE_TOKEN,
        ROTATE_TOKEN,
        PUT_MEMBER,
        REMOVE_MEMBER,
        LIST_MEMBERS,
        CREATE_WORKSPACE,
        LIST_WORKSPACES,
        SET_QUOTA,
        OPEN_DASHBOARD,
        CREATE_SANDBOX,
        FIND_SANDBOX,
        LIST_SANDBOXES,
        END_SANDBOX,
        TAG_SANDBOX,
        WRITE_INPUT,
        RELOAD_VOLUMES,
        GET_TUNNELS,
        CREATE_CONNECT_TOKEN,
    )
}
