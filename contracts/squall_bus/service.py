"""The lifecycle all services share: connect, run until told to stop, drain, close the bus last."""

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from prometheus_client import CollectorRegistry
from squall_contracts import access_subjects, subjects
from squall_contracts.failures import Refused
from squall_contracts.identity import MintReply, Renew

from squall_bus.access.accounts import owner_of, read_credentials
from squall_bus.access.workspaces import Workspaces
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusError, BusRefused, NotFound
from squall_bus.layout import Replicas
from squall_bus.lease import lead
from squall_bus.logs import LogFormat, LogLevel, configure_logs
from squall_bus.monitor import monitoring, observe
from squall_bus.settings import SettingsError, read_settings

__all__ = ["Context", "Run", "Service", "ServiceEndedError", "host", "lead", "main", "serve"]

log = structlog.get_logger()

DRAIN_S: Final = 20.0

S = TypeVar("S", bound=msgspec.Struct)
S_contra = TypeVar("S_contra", bound=msgspec.Struct, contravariant=True)


@dataclass(frozen=True)
class Context:
    """What a service runs with. Whoever made it closes it, after `run` has returned."""

    bus: Bus
    """In PLATFORM."""
    workspaces: Workspaces
    """Into the workspaces' accounts."""
    servers: tuple[str, ...]
    """NATS URLs as this process reaches them."""
    stopping: anyio.Event
    """Set once the service must close its intakes, finish what it took and return."""
    replicas: Replicas = field(default_factory=Replicas)
    """Of the streams and buckets this process makes."""
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Where the service puts its metrics, whose names begin with `squall_<service>_`."""


class Run(Protocol[S_contra]):
    """A service's `run`: start the intakes, call `task_status.started()`, wait for
    `context.stopping`, close the intakes, finish what was taken, return."""

    async def __call__(
        self, settings: S_contra, context: Context, *, task_status: TaskStatus[None]
    ) -> None: ...


@dataclass(frozen=True)
class Service(Generic[S]):
    """A service as its `app.py` declares it: import has no effect, `run` does everything."""

    name: str
    settings: type[S]
    run: Run[S]


class ServiceEndedError(RuntimeError):
    """Raised when a service returns although nobody told it to stop."""


async def host(
    service: Service[S],
    settings: S,
    context: Context,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run `service` until `context.stopping`, then for at most `settings.drain_s` seconds more."""
    drain_s = float(getattr(settings, "drain_s", DRAIN_S))
    ended = False
    async with anyio.create_task_group() as group:

        async def limit_drain() -> None:
            await context.stopping.wait()
            group.cancel_scope.deadline = anyio.current_time() + drain_s

        group.start_soon(limit_drain)
        await service.run(settings, context, task_status=task_status)
        ended = True
        if not context.stopping.is_set():
            raise ServiceEndedError(f"{service.name} ended although it was not told to stop")
        group.cancel_scope.cancel()
    if not ended:
        log.warning("service.drain_cut", service=service.name, drain_s=drain_s)


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What any service run as a process of its own is told, in `SQUALL_` variables."""

    nats_urls: tuple[str, ...] = ()
    """Where NATS listens; required."""
    credentials: str = ""
    """Path of the service's creds file; required."""
    log: LogFormat = "json"
    log_level: LogLevel = "info"
    ready_file: str = ""
    """Made when the service is ready, removed when it ends; empty: none."""
    replicas: int = 1
    """On how many of NATS's servers each stream and bucket is kept: 1, 3 or 5. The gateways make
    them, and change those that differ."""
    replicas_of: dict[str, int] = {}
    """Streams and buckets that differ from that, by name: `{"LOGS": 1}`."""
    monitor: str = ""
    """HOST:PORT on which `/metrics`, `/live` and `/ready` are served; empty: nowhere."""


async def serve(service: Service[S], settings: S, process: Process) -> None:
    """Run one service as this process, until SIGTERM or SIGINT; a second one kills at once."""
    credentials = read_credentials(Path(process.credentials))
    stopping = anyio.Event()
    async with anyio.create_task_group() as signals:
        signals.start_soon(_stop_on_signal, stopping)
        bus = await connect(
            process.nats_urls,
            credentials,
            name=f"squall {service.name}",
            inbox=subjects.inbox(owner_of(credentials.jwt)),
            renew=lambda jwt: _renewed(bus, jwt),
        )
        workspaces = Workspaces(bus, service.name, process.nats_urls)
        context = Context(bus, workspaces, process.nats_urls, stopping, _replicas(process))
        ready = anyio.Event()
        observe(bus, service.name, context.registry)

        def is_ready() -> bool:
            return ready.is_set() and not stopping.is_set() and bus.is_connected

        try:
            async with (
                monitoring(process.monitor, context.registry, is_ready),
                anyio.create_task_group() as running,
            ):
                running.start_soon(fail_when_closed, bus, stopping)
                await running.start(host, service, settings, context)
                ready.set()
                _announce(service.name, process.ready_file)
                await stopping.wait()
        finally:
            _withdraw(process.ready_file)
            with anyio.CancelScope(shield=True):
                await workspaces.close()
                await bus.drain()
                await bus.close()
        signals.cancel_scope.cancel()
    log.info("service.stopped", service=service.name)


async def _renewed(bus: Bus, jwt: str) -> str:
    """A new JWT for the old one, where that ends: as a runner's does that joined with a token."""
    reply = await bus.request(access_subjects.MINT_RENEW, Renew(jwt=jwt), MintReply)
    if isinstance(reply, Refused):
        raise BusRefused(reply.message)
    return str(reply.jwt)


async def fail_when_closed(bus: Bus, stopping: anyio.Event) -> None:
    """Return once `stopping`; raise as soon as `bus` is closed for good before that."""
    async with anyio.create_task_group() as either:

        async def stopped() -> None:
            await stopping.wait()
            either.cancel_scope.cancel()

        either.start_soon(stopped)
        raise await bus.wait_closed()


async def _stop_on_signal(stopping: anyio.Event) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
        number = await anext(received)
    # The handlers went with the receiver: from here on a second signal kills.
    log.info("service.stop_asked", signal=signal.Signals(number).name)
    stopping.set()


def _announce(name: str, ready_file: str) -> None:
    if ready_file:
        Path(ready_file).write_text(f"{os.getpid()}\n")
    log.info("service.ready", service=name)


def _withdraw(ready_file: str) -> None:
    if ready_file:
        Path(ready_file).unlink(missing_ok=True)


def main(service: Service[S]) -> int:
    """Run `service` as its environment says.

    Exit code: 0 stopped as told, 1 failed, 2 misconfigured.
    """
    try:
        process = _read_process(dict(os.environ))
        settings = read_settings(service.settings, os.environ, f"SQUALL_{service.name.upper()}_")
    except SettingsError as error:
        print(f"squall {service.name}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    configure_logs(process.log, process.log_level)
    try:
        anyio.run(serve, service, settings, process, backend_options={"use_uvloop": True})
    except Exception as error:
        cause = root_cause(error)
        if isinstance(cause, BusError):
            new = isinstance(cause, NotFound)
            hint = "; gateways make what is missing here: is one up?" if new else ""
            log.error("service.failed", service=service.name, error=f"{cause}{hint}")
        else:
            log.error("service.failed", service=service.name, exc_info=error)
        return 1
    return 0


def root_cause(error: BaseException) -> BaseException:
    """The one error inside nested groups of one; the group itself where several went wrong."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _read_process(environment: dict[str, str]) -> Process:
    names = {f"SQUALL_{name.upper()}" for name in Process.__struct_fields__}
    if "SQUALL_NATS_URL" in environment:
        environment.setdefault("SQUALL_NATS_URLS", environment["SQUALL_NATS_URL"])
    own = {name: value for name, value in environment.items() if name in names}
    process = read_settings(Process, own, "SQUALL_")
    if not process.nats_urls:
        raise SettingsError("SQUALL_NATS_URLS is required, such as nats://127.0.0.1:4222")
    if not process.credentials:
        raise SettingsError("SQUALL_CREDENTIALS is required: the path of the service's creds file")
    _replicas(process)
    return process


def _replicas(process: Process) -> Replicas:
    try:
        return Replicas(everywhere=process.replicas, of=process.replicas_of)
    except ValueError as error:
        raise SettingsError(f"SQUALL_REPLICAS, SQUALL_REPLICAS_OF: {error}") from error
