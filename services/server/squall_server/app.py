"""Wiring: nats-server and all six services in one process, up in order and down in order."""

import argparse
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import msgspec
import structlog
from anyio.abc import TaskGroup
from squall_autoscaler.app import SERVICE as AUTOSCALER
from squall_autoscaler.settings import Settings as AutoscalerSettings
from squall_builder.app import SERVICE as BUILDER
from squall_builder.settings import Settings as BuilderSettings
from squall_bus.accounts import InvalidCredentials, owner_of, write_credentials
from squall_bus.connection import connect
from squall_bus.errors import BusError
from squall_bus.keyring import Keyring
from squall_bus.logs import configure_logs
from squall_bus.service import Context, Service, fail_when_closed, host, root_cause
from squall_bus.settings import SettingsError, read_settings
from squall_bus.workspaces import Workspaces
from squall_contracts import subjects
from squall_cron.app import SERVICE as CRON
from squall_cron.settings import Settings as CronSettings
from squall_gateway.app import SERVICE as GATEWAY
from squall_gateway.settings import Settings as GatewaySettings
from squall_runner.app import SERVICE as RUNNER
from squall_runner.runtime import RuntimeUnavailable
from squall_runner.settings import Settings as RunnerSettings
from squall_scheduler.app import SERVICE as SCHEDULER
from squall_scheduler.settings import Settings as SchedulerSettings

from squall_server.natsd import Natsd, NatsFailed, die_with_parent
from squall_server.place import Place, choose
from squall_server.state import Announcement, State, StateError, default_state_dir

log = structlog.get_logger()

WORKSPACE: Final = "main"
NETWORK: Final = "squall"
EXPECTED: Final = (
    BusError, InvalidCredentials, NatsFailed, RuntimeUnavailable, SettingsError, StateError,
)  # fmt: skip
"""Errors whose one line says all there is to say."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line."""

    state: Path
    runtime: Any
    port: int
    ephemeral: bool
    until_parent_exits: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. 0: stopped as told; 1: failed; 2: can't start as asked."""
    options = _options(argv)
    if options.until_parent_exits:
        die_with_parent(signal.SIGTERM)
        if os.getppid() == 1:
            return 0  # it ended before we asked to be told
    configure_logs("console", "warning")
    ready = False

    async def run() -> None:
        nonlocal ready
        with State(options.state, ephemeral=options.ephemeral) as state:
            async with _stop_signal() as stopping:
                async with _machine(options, state, stopping) as announcement:
                    state.announce(announcement)
                    print(msgspec.json.encode(announcement).decode(), flush=True)  # noqa: T201
                    ready = True
                    await stopping.wait()

    try:
        anyio.run(run, backend_options={"use_uvloop": True})
    except* EXPECTED as group:
        print(f"squall server: {root_cause(group)}", file=sys.stderr)  # noqa: T201
        return 1 if ready else 2
    return 0


def _options(argv: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="squall_server", description=__doc__)
    parser.add_argument("--state", type=Path, default=None, help="state directory")
    parser.add_argument("--runtime", choices=["auto", "docker", "process"], default="auto")
    parser.add_argument("--port", type=int, default=0, help="NATS's port; 0: any free one")
    parser.add_argument("--ephemeral", action="store_true", help="leave nothing but caches behind")
    parser.add_argument("--until-parent-exits", action="store_true")
    found = parser.parse_args(argv)
    if not 0 <= found.port <= 65535:
        parser.error(f"--port: {found.port} is not between 0 and 65535")
    return Options(
        state=(found.state or default_state_dir()).absolute(),
        runtime=found.runtime,
        port=found.port,
        ephemeral=found.ephemeral,
        until_parent_exits=found.until_parent_exits,
    )


@asynccontextmanager
async def _stop_signal() -> AsyncIterator[anyio.Event]:
    """An event set by the first SIGTERM or SIGINT; a second one kills."""
    stopping = anyio.Event()

    async def listen() -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            async for _ in received:
                stopping.set()
                return

    async with anyio.create_task_group() as group:
        group.start_soon(listen)
        yield stopping
        group.cancel_scope.cancel()


@asynccontextmanager
async def _machine(
    options: Options, state: State, stopping: anyio.Event
) -> AsyncIterator[Announcement]:
    """nats-server and the services, ready; on leaving they end in an order that loses nothing."""
    place = await choose(options.runtime, NETWORK)
    keyring = Keyring(state.keys)
    keyring.workspace(WORKSPACE)
    natsd = Natsd(state.nats, keyring, place.listen_host, options.port)
    await natsd.start()
    async with anyio.create_task_group() as below:
        below.start_soon(natsd.watch)
        try:
            async with _services(options, state, place, natsd, keyring, stopping):
                write_credentials(state.credentials, keyring.client(WORKSPACE))
                yield Announcement(
                    url=natsd.url,
                    container_url=f"nats://{place.container_host}:{natsd.port}",
                    credentials=str(state.credentials),
                    runtime=place.runtime,
                    reason=place.reason,
                    pid=os.getpid(),
                    state=str(state.folder),
                )
        finally:
            with anyio.CancelScope(shield=True):
                await natsd.stop()


@asynccontextmanager
async def _services(
    options: Options,
    state: State,
    place: Place,
    natsd: Natsd,
    keyring: Keyring,
    stopping: anyio.Event,
) -> AsyncIterator[None]:
    """The gateway first, since it opens the workspaces to the others; it goes last.

    Who decides goes down before the runner, so that nothing new is started while it stops.
    """
    gateway, deciders, workers = _settings(options, state, place, natsd)
    async with AsyncExitStack() as stack:
        for tier in (gateway, workers, deciders):
            await stack.enter_async_context(_tier(tier, natsd, keyring, stopping))
        yield


@asynccontextmanager
async def _tier(
    tier: dict[Service[Any], Any], natsd: Natsd, keyring: Keyring, failed: anyio.Event
) -> AsyncIterator[None]:
    """Services that start together and stop together."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as running:
        async with anyio.create_task_group() as starting:
            for service, settings in tier.items():
                starting.start_soon(
                    _start, running, service, settings, natsd, keyring, stopping
                )
        try:
            yield
        finally:
            stopping.set()


async def _start(
    running: TaskGroup,
    service: Service[Any],
    settings: Any,
    natsd: Natsd,
    keyring: Keyring,
    stopping: anyio.Event,
) -> None:
    """Return once the service is ready; it goes on in `running`."""

    async def live(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        credentials = keyring.service(service.name)
        bus = await connect(
            [natsd.url],
            credentials,
            name=f"squall {service.name}",
            inbox=subjects.inbox(owner_of(credentials.jwt)),
        )
        workspaces = Workspaces(bus, service.name, [natsd.url])
        context = Context(bus, workspaces, (natsd.url,), stopping)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(fail_when_closed, bus, stopping)
                await host(service, settings, context, task_status=task_status)
        finally:
            with anyio.CancelScope(shield=True):
                await workspaces.close()
                await bus.drain()
                await bus.close()

    await running.start(live)


def _settings(
    options: Options, state: State, place: Place, natsd: Natsd
) -> tuple[dict[Service[Any], Any], ...]:
    """Each service's settings: its SQUALL_ variables, and what this machine decides for it."""
    fixed: dict[Service[Any], dict[str, object]] = {
        GATEWAY: {"keys_dir": str(state.keys), "workspaces": (WORKSPACE,)},
        BUILDER: {"runtime": place.runtime, "state_dir": str(state.cache)},
        RUNNER: {
            "runtime": place.runtime,
            "state_dir": str(state.runner),
            "cache_dir": str(state.cache),
            "network": NETWORK,
            "servers_for_containers": (f"nats://{place.container_host}:{natsd.port}",),
            "ephemeral": options.ephemeral,
        },
    }
    kinds: dict[Service[Any], type[msgspec.Struct]] = {
        GATEWAY: GatewaySettings,
        AUTOSCALER: AutoscalerSettings,
        SCHEDULER: SchedulerSettings,
        CRON: CronSettings,
        BUILDER: BuilderSettings,
        RUNNER: RunnerSettings,
    }

    def of(service: Service[Any]) -> msgspec.Struct:
        environment = dict(os.environ)
        prefix = f"SQUALL_{service.name.upper()}_"
        decided = fixed.get(service, {})
        for field, value in decided.items():
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            environment[f"{prefix}{field.upper()}"] = text
        return read_settings(kinds[service], environment, prefix)

    return tuple(
        {service: of(service) for service in tier}
        for tier in ((GATEWAY,), (AUTOSCALER, SCHEDULER, CRON), (BUILDER, RUNNER))
    )
