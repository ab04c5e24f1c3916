"""What methods return: the records of the API, gathered under one name."""

import importlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any


class InputStatus(IntEnum):
    """How far an input is."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2
    TERMINATED = 3
    TIMEOUT = 4
    INIT_FAILURE = 5

    @classmethod
    def _missing_(cls, value: object) -> "InputStatus":
        return cls.PENDING


@dataclass(frozen=True)
class InputInfo:
    """One input of a call, as `FunctionCall.get_call_graph` tells of it."""

    input_id: str
    function_call_id: str
    task_id: str
    """The container that ran it; empty while none has."""
    status: InputStatus
    function_name: str
    module_name: str
    children: "list[InputInfo]" = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class FunctionInfo:
    """What is known of a function by its handle."""

    name: str
    object_id: str
    app_name: str | None
    """None where the handle came without its app."""
    is_generator: bool
    web_url: str | None


@dataclass(frozen=True, kw_only=True)
class AppInfo:
    """An app as the server lists it."""

    app_id: str
    name: str
    containers: int
    environment: str
    state: str
    """`ephemeral`, `detached`, `deployed` or `stopped`."""
    version: int
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class AppLifecycle:
    """When an app came about, and who deployed it."""

    version: int | None
    created_at: datetime
    created_by: str
    deployed_at: datetime | None
    deployed_by: str | None
    stopped_at: datetime | None
    stopped_by: str | None


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """One line that a container printed."""

    message: str
    timestamp: datetime
    source: str
    """`stdout`, `stderr` or `system`."""
    object_id: str
    """The container."""
    context_ids: dict[str, str]
    """`app_id`, `function_id` and `function_name`."""


_ELSEWHERE = {
    "DictInfo": ("squall._shared.collection", "CollectionInfo"),
    "EnvironmentInfo": ("squall.environment", "EnvironmentInfo"),
    "FileEntry": ("squall.volume", "FileEntry"),
    "FileEntryType": ("squall.volume", "FileEntryType"),
    "SandboxConnectCredentials": ("squall._sandbox.connecting", "SandboxConnectCredentials"),
    "FileInfo": ("squall._sandbox.records", "FileInfo"),
    "FileType": ("squall._sandbox.records", "FileType"),
    "FileWatchEvent": ("squall._sandbox.records", "FileWatchEvent"),
    "FileWatchEventType": ("squall._sandbox.records", "FileWatchEventType"),
    "FunctionAutoscalerSettings": ("squall.autoscaler", "AutoscalerSettings"),
    "FunctionCurrentStats": ("squall.autoscaler", "FunctionStats"),
    "QueueInfo": ("squall._shared.collection", "CollectionInfo"),
    "SecretInfo": ("squall.secret", "SecretInfo"),
    "VolumeInfo": ("squall.volume", "VolumeInfo"),
}


_HISTORY = "what happened over time is in the services' metrics: see docs/metrics.md"
_PEOPLE = "who may do what is in `squall token` and `squall admin`"
_NOT_AVAILABLE = {
    **dict.fromkeys(
        ("AppStats", "FunctionStats", "MetricDefinition", "MetricSeries", "MetricsSchema",
         "ObjectMetrics", "SandboxGroupStats", "SandboxStats", "ServerStats", "StatsPercentile",
         "StatsPercentileDistribution", "TimeSeriesPoint"),
        _HISTORY,
    ),
    **dict.fromkeys(
        ("MemberTokenInfo", "ProxyTokenInfo", "ServiceUserInfo", "TokenData", "WorkspaceMemberInfo",
         "WorkspaceSettings"),
        _PEOPLE,
    ),
    **dict.fromkeys(
        ("BillingReportItem", "EnvironmentBillingSummary", "WorkspaceBillingSummary"),
        "Squall sends no bills",
    ),
    **dict.fromkeys(
        ("ServerContainerInfo", "ServerSessionCredentials"), "servers have no sessions here"
    ),
    "AppState": "AppInfo.state is a word",
    "CloudBucketMountInfo": "a bucket is known by its declaration: CloudBucketMount(…)",
    "ServerInfo": "Server.info() gives FunctionInfo",
    "ServerAutoscalerSettings": "it is FunctionAutoscalerSettings",
    "VolumeCreateOptions": "volumes have none",
    "VolumeMountInfo": "a function's volumes are those of its declaration",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _NOT_AVAILABLE:
        raise AttributeError(f"squall.types.{name} is not available: {_NOT_AVAILABLE[name]}")
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'squall.types' has no attribute {name!r}")
    module, own = _ELSEWHERE[name]
    return getattr(importlib.import_module(module), own)
