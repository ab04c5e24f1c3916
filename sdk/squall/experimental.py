"""What Modal calls experimental, as far as it means something on one's own machines."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from squall_contracts import apps as words
from squall_contracts.functions import AppRecord

from squall import _client, _container, _sync, _validate
from squall._modal import spellings
from squall.cluster import Cluster, ClusterInfo
from squall.cluster import clustered as _clustered
from squall.exception import InvalidError, NotFoundError
from squall.types import AppInfo, AppLifecycle
from squall.web import web_server

if TYPE_CHECKING:
    from squall.cls import Cls
    from squall.function import Function

__all__ = [
    "AppInfo",
    "AppLifecycle",
    "ClusterInfo",
    "clustered",
    "flash_forward",
    "get_app_lifecycle",
    "get_app_objects",
    "get_cluster_info",
    "get_local_input_concurrency",
    "http_server",
    "list_deployed_apps",
    "set_local_input_concurrency",
    "stop_app",
    "stop_fetching_inputs",
]


# --- in a container ---------------------------------------------------------------------------------


def stop_fetching_inputs() -> None:
    """Let this container take no more inputs: it ends once it has finished those it has.
    ExecutionError outside of one."""
    _container.drain()


def get_local_input_concurrency() -> int:
    """How many inputs this container runs at a time at most. ExecutionError outside of one."""
    spec = _container.inside("get_local_input_concurrency").spec
    return spec.max_inputs if spec.batch is None else spec.batch.max_size


def set_local_input_concurrency(concurrency: int) -> None:
    """InvalidError unless it is what `@concurrent(max_inputs=…)` says already: a container's
    concurrency is declared, since the autoscaler counts on it."""
    if concurrency != get_local_input_concurrency():
        raise InvalidError(
            "a container's concurrency can't change while it runs: declare it with "
            "@squall.concurrent(max_inputs=…), or call with_concurrency(…)"
        )


def clustered(size: int, broadcast: bool = True, rdma: bool = False) -> Any:
    """As `squall.clustered`. Every container of the gang runs the input: `broadcast` False is an
    InvalidError."""
    if not broadcast:
        raise InvalidError("broadcast: every container of a cluster runs the input: leave it out")
    return _clustered(size=size, rdma=rdma)


def get_cluster_info() -> ClusterInfo:
    """Rank and addresses of the gang this container is in. ExecutionError outside of one."""
    return Cluster.from_context().info


def http_server(
    port: int | None = None,
    *,
    proxy_regions: list[str] | None = None,
    startup_timeout: int = 30,
    exit_grace_period: int | None = None,
    h2_enabled: bool = False,
) -> Any:
    """As `squall.web_server`; the other arguments have no effect here."""
    spellings.without_effect("proxy_regions", proxy_regions)
    spellings.without_effect("h2_enabled", h2_enabled)
    spellings.without_effect("exit_grace_period", exit_grace_period)
    return web_server(8000 if port is None else port, startup_timeout=startup_timeout)


def flash_forward(port: int, *_args: object, **_options: object) -> NoReturn:
    """InvalidError: use @app.server or @squall.web_server, which the gateway routes to."""
    raise InvalidError(
        f"flash_forward is Modal's own routing: serve port {port} with @squall.web_server({port})"
    )


# --- of the workspace -------------------------------------------------------------------------------


async def _get_app_objects(
    app_name: str, *, environment_name: str | None = None, client: object = None
) -> "dict[str, Function[..., Any, Any] | Cls]":
    """The functions and classes of a deployed app by their names. NotFoundError."""
    from squall.cls import Cls
    from squall.function import Function

    connected = await _client.connected()
    place = environment_name or connected.environment
    found: dict[str, Function[..., Any, Any] | Cls] = {}
    for name in (await _deployed(connected, app_name, place)).functions:
        each = await connected.control(
            words.FindFunction(environment=place, app=app_name, name=name)
        )
        kind = Cls if each.methods else Function
        found[name] = kind.from_name(app_name, name, environment_name=place)
    return found


async def _list_deployed_apps(environment_name: str = "", client: object = None) -> list[AppInfo]:
    """The deployed apps of an environment, by name."""
    connected = await _client.connected()
    place = environment_name or connected.environment
    listed = await connected.control(words.ListApps(environment=place))
    found = (entry for entry in listed.apps if entry.state == "deployed")
    return [app_info(entry) for entry in sorted(found, key=lambda entry: entry.name)]


async def _get_app_lifecycle(app_id: str, *, client: object = None) -> AppLifecycle:
    """When an app was made, deployed and stopped, and by whom. NotFoundError."""
    connected = await _client.connected()
    entry = await found_app(connected, app_id)
    last = first = None
    if entry.state == "deployed":
        asked = words.AppHistory(environment=entry.environment, name=entry.name)
        versions: tuple[AppRecord, ...] = (await connected.control(asked)).versions
        last, first = versions[0], versions[-1]
    return AppLifecycle(
        version=entry.version if last is not None else None,
        created_at=_moment(entry.created_unix_s),
        created_by=first.deployed_by if first is not None else "",
        deployed_at=_moment(last.deployed_unix_s) if last and last.deployed_unix_s else None,
        deployed_by=last.deployed_by if last is not None else None,
        stopped_at=_moment(entry.stopped_unix_s) if entry.stopped_unix_s else None,
        stopped_by=None,
    )


async def _stop_app(
    name: str, *, environment_name: str | None = None, client: object = None
) -> None:
    """Stop the deployed app of that name. NotFoundError."""
    _validate.object_name("name", name)
    connected = await _client.connected()
    place = environment_name or connected.environment
    await connected.control(words.StopApp(environment=place, name=name))


async def found_app(connected: _client.Client, app_id: str) -> words.AppEntry:
    """What the server lists of one app. NotFoundError."""
    listed = await connected.control(words.ListApps(environment=None))
    for entry in listed.apps:
        if entry.app_id == app_id:
            return entry
    raise NotFoundError(f"there is no app {app_id}")


async def _deployed(connected: _client.Client, name: str, place: str) -> words.AppEntry:
    listed = await connected.control(words.ListApps(environment=place))
    for entry in listed.apps:
        if entry.name == name and entry.state == "deployed":
            return entry
    raise NotFoundError(f"no app {name!r} is deployed in the environment {place}")


def app_info(entry: words.AppEntry) -> AppInfo:
    return AppInfo(
        app_id=entry.app_id,
        name=entry.name,
        containers=entry.containers,
        environment=entry.environment,
        state=entry.state,
        version=entry.version,
        created_at=_moment(entry.created_unix_s),
    )


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


get_app_objects = _sync.synced_function(_get_app_objects)
list_deployed_apps = _sync.synced_function(_list_deployed_apps)
get_app_lifecycle = _sync.synced_function(_get_app_lifecycle)
stop_app = _sync.synced_function(_stop_app)

_STREAM = "use squall.Queue, or Queue.iterate for readers that leave the items there"
_NOT_AVAILABLE = {
    **dict.fromkeys(
        ("AppendResult", "Entry", "IdempotencyConflict", "Stream", "StreamInfo", "StreamToken",
         "StreamWriter"),
        _STREAM,
    ),
    **dict.fromkeys(
        ("ClusterReservation", "ClusterReservationTask", "list_cluster_reservations"),
        "machines are yours: nothing is reserved",
    ),
    **dict.fromkeys(
        ("ServerManager", "flash_get_containers", "server_forward"),
        "the gateway routes requests: use @app.server or @squall.web_server",
    ),
    "DockerfileSpec": "use Image.from_dockerfile or Image.dockerfile_commands",
    "OutboundPolicy": "use block_network=True",
    "get_fabric_peers": "containers share no fabric: use get_cluster_info()",
    "image_delete": "`squall image` removes images",
}  # fmt: skip


def __getattr__(name: str) -> NoReturn:
    if name in _NOT_AVAILABLE:
        raise AttributeError(f"squall.experimental.{name} is not available: {_NOT_AVAILABLE[name]}")
    raise AttributeError(f"module 'squall.experimental' has no attribute {name!r}")
