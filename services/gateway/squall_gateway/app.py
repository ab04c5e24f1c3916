"""Wiring of the gateway: what it hears, and in which order it opens and closes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from anyio.abc import TaskStatus
from squall_bus.access.keyring import Keyring
from squall_bus.layout import ensure_platform
from squall_bus.service import Context, Service
from squall_contracts import access_subjects, subjects, version_subjects
from squall_contracts.calls import AskVersion
from squall_contracts.functions import FunctionRecord
from squall_contracts.identity import MintGuest, MintService, Renew
from squall_contracts.secrets import OpenBuildSecrets, OpenSecrets
from squall_contracts.tokens import SignIn

from squall_gateway.access.app import Access
from squall_gateway.apps import Apps
from squall_gateway.collections import Collections
from squall_gateway.collector import Collector
from squall_gateway.dashboard.app import PREFIX, Dashboard
from squall_gateway.dashboard.door import Door
from squall_gateway.handlers import Api
from squall_gateway.identity import Identity
from squall_gateway.metrics import Metrics
from squall_gateway.opening import Opening
from squall_gateway.reaper import Reaper
from squall_gateway.rest import routes
from squall_gateway.rest.app import Rest
from squall_gateway.sandboxes.connecting import Connecting
from squall_gateway.sandboxes.doors import Doors
from squall_gateway.sandboxes.following import Following
from squall_gateway.sandboxes.passes import PREFIX as PASSES_PREFIX
from squall_gateway.sandboxes.passes import Passes
from squall_gateway.settings import Settings
from squall_gateway.snapshot_sweeper import SnapshotSweeper
from squall_gateway.sweeper import Sweeper
from squall_gateway.tracing import Traces
from squall_gateway.tunnels import Tunnels
from squall_gateway.volume_sweeper import VolumeSweeper
from squall_gateway.web.app import Ingress
from squall_gateway.web.tokens import Tokens

QUEUE: Final = "gateway"
"""Of several gateways one answers each request."""

Q = TypeVar("Q")


class _InFlight:
    """Counts the requests being answered, so that a drain can wait for the last."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def counted(
        self, handler: Callable[[str, Q], Awaitable[object]]
    ) -> Callable[[str, Q], Awaitable[object]]:
        async def answer(subject: str, request: Q) -> object:
            self._count += 1
            self._idle.clear()
            try:
                return await handler(subject, request)
            finally:
                self._count -= 1
                if not self._count:
                    self._idle.set()

        return answer

    async def over(self) -> None:
        await self._idle.wait()


async def run(settings: Settings, context: Context, *, task_status: TaskStatus[None]) -> None:
    """Answer the control API and mint credentials until told to stop."""
    keyring = await asyncio.to_thread(Keyring, Path(settings.keys_dir))
    await ensure_platform(context.bus, context.replicas)
    access = Access(keyring, context, settings.credential_ttl_s)
    identity = Identity(keyring, context, access.signing_in, settings.credential_ttl_s)
    tokens = Tokens(context.bus)
    traces = Traces(context)
    ingress = Ingress(settings, context, tokens, traces)

    async def urls(account: str, records: Iterable[FunctionRecord]) -> dict[str, str]:
        return ingress.urls(records, await access.accounts.name(account))

    async def claim(account: str, records: Sequence[FunctionRecord]) -> None:
        ingress.claim(records, await access.accounts.name(account))

    own = Apps(settings, context, urls, claim)
    collections = Collections(context, own.environments)
    tunnels = Tunnels(settings, context)
    following = Following(context, own.sandboxes)
    opening = Opening(context, own.registry, own.secrets, own.sealing, own.sandboxes)
    door = Door(keyring, tokens)
    passes = Passes(keyring, own.sandboxes, lambda: ingress.base)
    api = Api(
        context,
        access,
        own,
        collections=collections,
        tokens=tokens,
        tunnels=tunnels,
        following=following,
        opening=opening,
        door=door,
        passes=passes,
    )
    dashboard = Dashboard(context, api.ask, door) if settings.dashboard else None
    if dashboard is not None:
        ingress.mount(PREFIX, dashboard.handle)
        ingress.front.observe(dashboard.observe)
    rest = Rest(settings, context, api, access.tokens)
    ingress.mount(routes.PREFIX, rest.handle)
    connecting = Connecting(settings, passes, Doors(api.ports, api.placed), own.sandboxes)
    ingress.mount(PASSES_PREFIX, connecting.handle)
    flight = _InFlight()
    asked: tuple[tuple[str, type[Any], Callable[[str, Any], Awaitable[object]]], ...] = (
        (access_subjects.MINT_SERVICE, MintService, identity.mint_service),
        (access_subjects.MINT_FOR_RUNNER_ALL, MintService, identity.mint_for_runner),
        (access_subjects.MINT_GUEST_ALL, MintGuest, identity.mint_guest),
        (access_subjects.MINT_RENEW, Renew, identity.renew_service),
        (subjects.RENEW_ALL, Renew, identity.renew),
        (access_subjects.SIGN_IN_ALL, SignIn, access.signing_in.sign_in),
        (version_subjects.VERSIONS_ALL, AskVersion, own.succession.newest),
        (access_subjects.OPEN_SECRETS_ALL, OpenSecrets, opening.open),
        (access_subjects.OPEN_BUILD_SECRETS, OpenBuildSecrets, own.build_secrets.open),
    )
    open_intakes = [
        await context.bus.respond(subject, kind, flight.counted(handler), queue=QUEUE)
        for subject, kind, handler in asked
    ]
    # Opening a workspace takes credentials, which this very service mints from here on.
    await access.accounts.provision(settings.workspaces)
    if settings.admin_token_file and settings.workspaces:
        await access.first_token(settings.workspaces[0], Path(settings.admin_token_file))
    leave = dashboard.leave if dashboard is not None else lambda: None
    async with (
        traces.running(),
        ingress.running(leave),
        tunnels.running(),
        connecting.running(),
        following.running(),
        asyncio.TaskGroup() as group,
    ):
        collector = Collector(context, own.registry, settings.pool_idle_s)
        background = [
            group.create_task(collector.run()),
            group.create_task(Reaper(own, context, settings.app_ttl_s).run()),
            group.create_task(Sweeper(collections, context).run()),
            group.create_task(VolumeSweeper(context, settings.volume_sweep_s).run()),
            group.create_task(SnapshotSweeper(own, context).run()),
        ]
        if dashboard is not None:
            door.url = f"{ingress.base}{PREFIX}/"
            background.append(group.create_task(dashboard.attention.run()))
        answer = flight.counted(Metrics(context.registry).timed(api.answer))
        open_intakes.append(
            await context.bus.respond(subjects.API_ALL, msgspec.Raw, answer, queue=QUEUE)
        )
        task_status.started()
        await context.stopping.wait()
        for intake in reversed(open_intakes):
            await intake.close()
        await flight.over()
        for task in background:
            task.cancel()
    await rest.close()


SERVICE: Final = Service(name="gateway", settings=Settings, run=run)
