"""Everything on one machine: nats-server and six services, up in order and down in order.

Down: who decides goes before the runner, so that nothing is started while it stops; then the
runner and the builder; then the gateway, which mints credentials for all of them; NATS is last.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus
from prometheus_client import CollectorRegistry
from squall_autoscaler.app import SERVICE as AUTOSCALER
from squall_builder.app import SERVICE as BUILDER
from squall_bus.access.accounts import owner_of, write_credentials
from squall_bus.access.keyring import Keyring
from squall_bus.access.workspaces import Workspaces
from squall_bus.connection import connect
from squall_bus.monitor import monitoring, observe
from squall_bus.service import Context, Service, fail_when_closed, host
from squall_bus.settings import read_settings
from squall_contracts import subjects
from squall_cron.app import SERVICE as CRON
from squall_gateway.app import SERVICE as GATEWAY
from squall_runner.app import SERVICE as RUNNER
from squall_runner.machine import runner_id
from squall_scheduler.app import SERVICE as SCHEDULER

from squall_server.forward import forwarding
from squall_server.natsd import Natsd
from squall_server.place import Choice, Place, choose, resolves
from squall_server.state import Announcement, State

log = structlog.get_logger()

WORKSPACE: Final = "main"
NETWORK: Final = "squall"
WEB_PORT: Final = 8000
Tier = tuple[tuple[Service[Any], Any], ...]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    runtime: Choice = "auto"
    port: int = 0
    """NATS's; 0: any free one."""
    web_port: int | None = None
    """Web endpoints'; 0: any free one; None: 8000, or any other where that is taken."""
    ephemeral: bool = False
    """For one run: its containers end with it, and nothing but caches stays."""
    monitor: str = ""
    """HOST:PORT on which all services' metrics are shown; empty: nowhere."""


class _Ground(NamedTuple):
    """What all services of the machine stand on."""

    natsd: Natsd
    keyring: Keyring
    registry: CollectorRegistry


@asynccontextmanager
async def running_machine(options: Options, state: State) -> AsyncIterator[Announcement]:
    """A machine that takes calls.

    NatsFailedError, RunnerError, BusError, SettingsError; later too, when a part of
    it fails for good.
    """
    place = await choose(options.runtime, NETWORK)
    keyring = Keyring(state.keys)
    keyring.workspace(WORKSPACE)
    natsd = Natsd(state.nats, keyring, place.listen_host, options.port)
    await natsd.start()
    registry, ready = CollectorRegistry(), anyio.Event()

    def decided_by(forwarded: str) -> dict[str, dict[str, str]]:
        return _decided(options, state, place, natsd, forwarded)

    async with anyio.create_task_group() as below:
        try:
            below.start_soon(natsd.watch)
            async with (
                forwarding(place.also_listen_on, place.listen_host, natsd.port) as forwarded,
                monitoring(options.monitor, registry, ready.is_set),
                _services(_Ground(natsd, keyring, registry), decided_by(forwarded)),
            ):
                write_credentials(state.credentials, keyring.client(WORKSPACE))
                ready.set()
                yield await _announcement(state, place, natsd)
        finally:
            with anyio.CancelScope(shield=True):
                await natsd.stop()


async def _announcement(state: State, place: Place, natsd: Natsd) -> Announcement:
    return Announcement(
        url=natsd.url,
        container_url=f"nats://{place.container_host}:{natsd.port}",
        credentials=str(state.credentials),
        runtime=place.runtime,
        reason=place.reason,
        pid=os.getpid(),
        state=str(state.folder),
        web_url=await anyio.Path(state.web_address).read_text(),
    )


@asynccontextmanager
async def _services(ground: _Ground, decided: dict[str, dict[str, str]]) -> AsyncIterator[None]:
    tiers: tuple[Tier, ...] = tuple(
        tuple((service, _settings_of(service, decided.get(service.name, {}))) for service in tier)
        for tier in ((GATEWAY,), (BUILDER, RUNNER), (SCHEDULER, AUTOSCALER, CRON))
    )
    async with AsyncExitStack() as stack:
        for tier in tiers:
            await stack.enter_async_context(_tier(tier, ground))
        yield


@asynccontextmanager
async def _tier(tier: Tier, ground: _Ground) -> AsyncIterator[None]:
    """Services that start together and stop together."""
    stopping = anyio.Event()
    async with anyio.create_task_group() as running:
        async with anyio.create_task_group() as starting:
            for service, settings in tier:
                live = partial(_live, service, settings, ground, stopping)
                starting.start_soon(running.start, live)
        try:
            yield
        finally:
            stopping.set()


async def _live(
    service: Service[Any],
    settings: Any,
    ground: _Ground,
    stopping: anyio.Event,
    *,
    task_status: TaskStatus[None],
) -> None:
    """One service with a connection of its own, as in a process of its own."""
    if service.name == RUNNER.name:
        identity = await anyio.to_thread.run_sync(runner_id, Path(settings.state_dir))
        credentials = ground.keyring.runner(identity)
    else:
        credentials = ground.keyring.service(service.name)
    servers = (ground.natsd.url,)
    bus = await connect(
        servers,
        credentials,
        name=f"squall {service.name}",
        inbox=subjects.inbox(owner_of(credentials.jwt)),
    )
    workspaces = Workspaces(bus, service.name, servers)
    context = Context(bus, workspaces, servers, stopping, registry=ground.registry)
    observe(bus, service.name, ground.registry)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fail_when_closed, bus, stopping)
            await host(service, settings, context, task_status=task_status)
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await workspaces.close()
            await bus.drain()
            await bus.close()


def _decided(
    options: Options, state: State, place: Place, natsd: Natsd, forwarded: str
) -> dict[str, dict[str, str]]:
    """What this machine decides for its services, whatever the environment says."""
    # Nobody but this process can hold a lease: one left by a killed predecessor need not last.
    leases = {"lease_ttl_s": "3"}
    # A run stops its app before its server. What is left then was left by a client that was killed:
    # nobody waits for it.
    drain = {"drain_s": "5"} if options.ephemeral else {}
    for_containers = [f"nats://{place.container_host}:{natsd.port}", *filter(None, [forwarded])]
    return {
        GATEWAY.name: {
            "keys_dir": str(state.keys),
            "workspaces": WORKSPACE,
            "web_address_file": str(state.web_address),
            "admin_token_file": str(state.admin_token),
            **_web(options),
        },
        SCHEDULER.name: leases,
        AUTOSCALER.name: leases,
        CRON.name: leases,
        BUILDER.name: {"runtime": place.runtime, "state_dir": str(state.cache)},
        RUNNER.name: {
            "runtime": place.runtime,
            "state_dir": str(state.runner),
            "network": NETWORK,
            "servers_for_containers": ",".join(for_containers),
            "ephemeral": "true" if options.ephemeral else "false",
            **drain,
        },
    }


def _web(options: Options) -> dict[str, str]:
    """Where the gateway takes web requests, but for what the environment says of it."""
    ports = "0" if options.ephemeral else f"{WEB_PORT},0"
    wanted = {"web_ports": ports, "web_domain": "localhost" if resolves("any.localhost") else ""}
    said = {name for name in wanted if f"SQUALL_GATEWAY_{name.upper()}" in os.environ}
    chosen = {name: text for name, text in wanted.items() if name not in said}
    return chosen if options.web_port is None else {**chosen, "web_ports": str(options.web_port)}


def _settings_of(service: Service[Any], decided: dict[str, str]) -> Any:
    """A service's settings: its SQUALL_ variables, and what this machine decides for it."""
    prefix = f"SQUALL_{service.name.upper()}_"
    fixed = {f"{prefix}{field.upper()}": text for field, text in decided.items()}
    return read_settings(service.settings, {**os.environ, **fixed}, prefix)
