"""Servers: classes whose enter hooks start an HTTP server, which requests are then sent to."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from squall import _sync
from squall import autoscaler as scaling
from squall._modal.handle import HISTORY, Absent
from squall.cls import Cls
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.function import Function
    from squall.logs import Logs
    from squall.types import FunctionInfo

METHOD: Final = "server"
"""The web endpoint of a server's class, which stands for what its hooks started."""
ORDINARY_REQUESTS: Final = 100
"""Requests a container is given at a time where nothing is said: its server shares them out."""


class Server(Cls):
    """What `@app.server()` makes of a class, and `Server.from_name(…)` finds again."""

    @_sync.synced
    async def get_url(self) -> str | None:
        """Where requests go. ExecutionError before its app runs, NotFoundError."""
        url: str | None = await self._endpoint().get_web_url.aio()
        return url

    @property
    def autoscaler(self) -> scaling.Autoscaler:
        """Reads and changes how many containers it has."""
        return scaling.Autoscaler(self._endpoint())

    @_sync.synced
    async def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> scaling.AutoscalerSettings:
        """Change what is named, until the next deploy; scaledown_window in seconds. InvalidError."""
        return await scaling.change(
            self._endpoint(),
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
        )

    sessions = Absent(
        "requests of one client may go to any container: keep what it needs in a Dict"
    )
    from_id = Absent("use from_name(app_name, name)")
    stats = Absent(HISTORY)
    metrics = Absent(HISTORY)

    @_sync.synced
    async def info(self, *, refresh: bool = False) -> "FunctionInfo":
        """What is known of it. ExecutionError before its app runs, NotFoundError."""
        return await self._endpoint().info.aio()

    @property
    def logs(self) -> "Logs":
        """What its containers print."""
        return self._endpoint().logs

    def _endpoint(self) -> "Function[..., Any, Any]":
        endpoint: Function[..., Any, Any] = getattr(self(), METHOD)
        return endpoint

    def __repr__(self) -> str:
        return f"Server({self.name!r})"


def serving(
    kind: type,
    *,
    port: int,
    startup_timeout: float,
    authenticated: bool,
    max_inputs: int | None,
    target_inputs: int | None,
) -> type:
    """`kind` with the endpoint that stands for its server. InvalidError for a class that can't be one."""
    from squall._declaring.methods import HOOK, Method, concurrent
    from squall.web import web_server

    members = [getattr(kind, name, None) for name in dir(kind) if not name.startswith("__")]
    if any(isinstance(each, Method) for each in members):
        raise InvalidError(f"{kind.__name__}: a server has hooks alone: leave its methods out")
    if not any(getattr(each, HOOK, None) for each in members):
        raise InvalidError(f"{kind.__name__}: start the server in a method with @squall.enter()")

    def server(self: object) -> None:
        """The server was started by a hook."""

    server.__qualname__ = f"{kind.__qualname__}.{METHOD}"
    server.__module__ = kind.__module__
    mark: Callable[..., Any] = web_server(
        port, startup_timeout=startup_timeout, requires_proxy_auth=authenticated
    )
    setattr(kind, METHOD, mark(server))
    most = max_inputs or max(ORDINARY_REQUESTS, target_inputs or 0)
    return concurrent(max_inputs=most, target_inputs=target_inputs)(kind)
