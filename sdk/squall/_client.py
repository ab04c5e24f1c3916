"""The process's connection to a server, opened on first use on the SDK loop."""

import asyncio
import atexit
import hashlib
import itertools
import os
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, overload

from squall_contracts import (
    access_subjects,
    apps,
    autoscaling,
    breakers,
    collections,
    dashboard,
    environments,
    graphs,
    identity,
    images,
    lanes,
    placement,
    sandbox_snapshots,
    sandboxes,
    secrets,
    state_subjects,
    subjects,
    terminals,
    tokens,
    tunnels,
    usage,
    verbs,
)
from squall_contracts.failures import Refused
from squall_contracts.guest import Credentials
from squall_contracts.message import Message, new_id

from squall import _container, _errors, _sync, config
from squall._calling.blobs import Blobs
from squall._calling.outbox import Outbox
from squall._calling.results import Router
from squall._shared.gone import Gone
from squall.exception import ClientClosed, ConnectionError, SnapshotCreationError

if TYPE_CHECKING:
    from squall_bus.bus import Bus

_CLOSE_S = 3.0
_REQUEST_S = 30.0
_AGAIN_S = 4.0
"""What may be asked twice is asked again after this long without an answer."""
_VERBS = {verb.request: verb for verb in verbs.VERBS.values()}


class _Connection:
    """This process's one connection."""

    client: "Client | None" = None
    opening: "asyncio.Task[Client] | None" = None


class Client:
    """One connection, what is on its way out and back, and the stores beside it."""

    def __init__(self, bus: "Bus", environment: str, seed: str) -> None:
        from squall_bus.streams.claiming import Claims
        from squall_bus.streams.taking import Taker

        self.bus = bus
        self.mark_key = hashlib.blake2b(seed.encode(), person=b"squall marks").digest()
        """For digests of values only a holder of these credentials can make, see Sealed.mark."""
        self.environment = environment
        """Where calls and look-ups go that name no environment."""
        owner = access_subjects.inbox_owner(bus.wire.inbox)
        self.client_id = access_subjects.client_id(owner, new_id("cl"))
        self._numbers = itertools.count()
        self.over: deque[str] = deque(maxlen=64)
        """Maps that have all their outcomes, though their last inputs may not be acked yet."""
        self.router = Router(bus, self.client_id)
        self.outbox = Outbox(bus, asyncio.get_running_loop())
        self.blobs = Blobs(bus)
        self.code = bus.objects(subjects.CODE_BUCKET)
        self.gone = Gone(bus)
        self.taker = Taker(
            bus,
            state_subjects.QUEUES,
            Claims(bus, state_subjects.TAKEN, state_subjects.TAKEN_SUBJECT),
        )
        self._watcher = _sync.background(self._fail_when_closed())

    @property
    def is_closed(self) -> bool:
        return self.bus.is_closed

    def message_id(self) -> str:
        """One that no other message has, whoever sends it."""
        return f"{self.client_id}.{next(self._numbers)}"

    async def _fail_when_closed(self) -> None:
        error = await self.bus.wait_closed()
        self.router.fail_all(_errors.of_bus(error))

    @overload
    async def control(
        self, message: apps.StartApp | apps.DeployApp | apps.RollbackApp
    ) -> apps.AppStarted: ...
    @overload
    async def control(self, message: apps.FindApp) -> apps.FoundApp: ...
    @overload
    async def control(
        self,
        message: apps.KeepApp
        | apps.StopApp
        | apps.CancelCall
        | apps.StopContainerRequest
        | secrets.DeleteSecret
        | environments.DeleteEnvironment
        | breakers.ResetFunction
        | tokens.RevokeToken
        | tokens.RemoveMember
        | collections.KeepEphemeral
        | collections.DeleteCollection,
    ) -> apps.Done: ...
    @overload
    async def control(self, message: secrets.GetSealingKey) -> secrets.SealingKey: ...
    @overload
    async def control(
        self, message: secrets.PutSecret | secrets.FindSecret
    ) -> secrets.SecretInfo: ...
    @overload
    async def control(self, message: secrets.ListSecrets) -> secrets.SecretList: ...
    @overload
    async def control(
        self,
        message: environments.CreateEnvironment
        | environments.UpdateEnvironment
        | environments.FindEnvironment,
    ) -> environments.EnvironmentEntry: ...
    @overload
    async def control(
        self, message: environments.ListEnvironments
    ) -> environments.EnvironmentList: ...
    @overload
    async def control(self, message: apps.ListApps) -> apps.AppList: ...
    @overload
    async def control(self, message: apps.AppHistory) -> apps.AppVersions: ...
    @overload
    async def control(self, message: apps.FindFunction) -> apps.FoundFunction: ...
    @overload
    async def control(
        self, message: autoscaling.GetScaling | autoscaling.UpdateScaling
    ) -> autoscaling.ScalingSettings: ...
    @overload
    async def control(
        self, message: autoscaling.GetFunctionStats
    ) -> autoscaling.FunctionStatsNow: ...
    @overload
    async def control(self, message: breakers.ListFunctions) -> breakers.FunctionList: ...
    @overload
    async def control(self, message: graphs.GetCallGraph) -> graphs.CallGraph: ...
    @overload
    async def control(self, message: lanes.OpenLane) -> lanes.LaneOpened: ...
    @overload
    async def control(self, message: apps.BindPool) -> apps.BoundPool: ...
    @overload
    async def control(self, message: apps.ListContainers) -> placement.ContainerList: ...
    @overload
    async def control(self, message: apps.ExecRequest) -> apps.ExecFinished: ...
    @overload
    async def control(self, message: terminals.OpenTerminal) -> terminals.TerminalOpened: ...
    @overload
    async def control(self, message: tunnels.OpenTunnel) -> tunnels.TunnelOpened: ...
    @overload
    async def control(self, message: usage.GetUsage) -> usage.UsageNow: ...
    @overload
    async def control(self, message: apps.ServerInfo) -> apps.ServerDescription: ...
    @overload
    async def control(self, message: tokens.Issuing) -> tokens.TokenIssued: ...
    @overload
    async def control(self, message: identity.OfWorkspace) -> identity.WorkspaceEntry: ...
    @overload
    async def control(self, message: identity.ListWorkspaces) -> identity.WorkspaceList: ...
    @overload
    async def control(self, message: tokens.ListAccessTokens) -> tokens.AccessTokenList: ...
    @overload
    async def control(self, message: tokens.PutMember) -> tokens.MemberEntry: ...
    @overload
    async def control(self, message: tokens.ListMembers) -> tokens.MemberList: ...
    @overload
    async def control(self, message: images.EnsureImage) -> images.ImageStatus: ...
    @overload
    async def control(
        self, message: sandbox_snapshots.SnapshotContainer
    ) -> sandbox_snapshots.SnapshotTaken: ...
    @overload
    async def control(self, message: images.ListImages) -> images.ImageList: ...
    @overload
    async def control(self, message: images.PruneImages) -> images.ImagesPruned: ...
    @overload
    async def control(self, message: dashboard.OpenDashboard) -> dashboard.DashboardDoor: ...
    @overload
    async def control(
        self,
        message: collections.OpenCollection
        | collections.OpenEphemeral
        | collections.FindCollection,
    ) -> collections.CollectionRecord: ...
    @overload
    async def control(self, message: collections.ListCollections) -> collections.CollectionList: ...
    @overload
    async def control(self, message: sandboxes.OfOne) -> sandboxes.SandboxInfo: ...
    @overload
    async def control(self, message: sandboxes.ListSandboxes) -> sandboxes.SandboxList: ...
    @overload
    async def control(self, message: sandboxes.WriteInput) -> sandboxes.InputTaken: ...
    @overload
    async def control(self, message: sandboxes.GetTunnels) -> sandboxes.SandboxTunnels: ...
    @overload
    async def control(self, message: sandboxes.ReloadVolumes) -> sandboxes.VolumesReloaded: ...
    async def control(self, message: Message) -> Any:
        """Ask the gateway. Its refusals and the bus's failures come as squall.exception errors."""
        verb = _VERBS[type(message)]
        async with translated():
            reply = await self._asked(verb, message)
        if isinstance(reply, Refused):
            raise _errors.of_refusal(reply)
        return reply

    async def _asked(self, verb: verbs.Verb, message: Message) -> Any:
        """The answer, from the next gateway if the one that took the request has ended with it."""
        from squall_bus.asking.replies import ABSENT_S
        from squall_bus.errors import RequestTimeout

        async def ask(patience_s: float) -> Any:
            return await self.bus.request(
                subjects.up_api(verb.name),
                message,
                verb.reply,
                timeout_s=patience_s,
                absent_s=ABSENT_S,
            )

        patience_s = _patience_s(message)
        if verb.may_repeat:
            try:
                return await ask(_AGAIN_S)
            except RequestTimeout:
                patience_s -= _AGAIN_S
        return await ask(patience_s)

    async def close(self) -> None:
        """Send what is on its way, then close; waits at most a few seconds."""
        self._watcher.cancel()
        self.router.fail_all(ClientClosed("the connection was closed before a result came"))
        try:
            await asyncio.wait_for(self.bus.drain(), _CLOSE_S)
        except TimeoutError:
            await self.bus.close()


def _patience_s(message: Message) -> float:
    if isinstance(message, apps.ExecRequest | sandbox_snapshots.SnapshotContainer):
        return message.timeout_s + 20.0
    return _REQUEST_S


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Errors of the bus leave this block as those of squall.exception."""
    from squall_bus.errors import BusError

    try:
        yield
    except BusError as error:
        raise _errors.of_bus(error) from error


class translating:  # noqa: N801 - used as a function is
    """As `translated`, for a plain `with`: it costs a tenth."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        from squall_bus.errors import BusError

        if isinstance(error, BusError):
            raise _errors.of_bus(error) from error


def current() -> Client | None:
    """The open connection, if there is one; from any thread."""
    client = _Connection.client
    return None if client is None or client.is_closed else client


async def connected() -> Client:
    """The process's connection, opened if need be. On the SDK loop.

    ConnectionError if no server is known or answers, AuthError if it refuses the credentials.
    """
    if (client := current()) is not None:
        return client
    opening = _Connection.opening
    if opening is None or opening.done():
        opening = _Connection.opening = asyncio.get_running_loop().create_task(_open())
    return await asyncio.shield(opening)


async def _open() -> Client:
    given = _container.assignment()
    if given is not None:
        if not given.servers:
            raise SnapshotCreationError(
                "a snapshot is made without a connection: move what needs one from the module or "
                "an enter(snap=True) hook into an enter() hook"
            )
        bus = await _connect(list(given.servers), given.client, given.ca_file)
        return _hold(Client(bus, given.environment, given.client.seed))
    server = config.find_server()
    if server is None:
        raise ConnectionError(
            "no Squall server: start one with `squall up`, or sign in to one with `squall token set`"
        )
    environment = config.settings().environment
    if server.token:
        bus, seed = await _sign_in(server)
        return _hold(Client(bus, environment, seed))
    credentials = config.read_credentials(server.credentials)
    bus = await _connect(server.url.split(","), credentials, server.ca_file)
    return _hold(Client(bus, environment, credentials.seed))


def _hold(client: Client) -> Client:
    _Connection.client = client
    atexit.register(shutdown)
    return client


async def _sign_in(server: config.Server) -> "tuple[Bus, str]":
    from squall_bus.access.signing_in import sign_in

    async with translated():
        found = await sign_in(
            server.url.split(","), server.token, name="squall-sdk", ca_file=server.ca_file
        )
    return found.bus, found.seed


async def identify(servers: list[str], token: str, ca_file: str = "") -> tokens.Caller:
    """Who a token is of, as the server says. AuthError when it won't have it."""
    from squall_bus.access.signing_in import whoever

    async with translated():
        return await whoever(servers, token, ca_file)


async def _connect(servers: list[str], credentials: Credentials, ca_file: str = "") -> "Bus":
    from squall_bus.access.signing_in import renewing
    from squall_bus.connection import claims, connect

    held: list[Bus] = []
    async with translated():
        said = claims(credentials.jwt)
        bus = await connect(
            servers,
            credentials,
            name="squall-sdk",
            inbox=subjects.inbox(said["sub"]),
            ca_file=ca_file,
            renew=renewing(held) if said.get("exp") else None,
        )
    held.append(bus)
    return bus


def shutdown() -> None:
    """Close the connection and end the SDK's thread; a later call opens anew."""
    atexit.unregister(shutdown)
    client, _Connection.client = _Connection.client, None
    _Connection.opening = None
    if client is not None:
        _sync.run(client.close())
    _sync.stop()


def _forget() -> None:
    """A forked child shares no connection with its parent."""
    _Connection.client = _Connection.opening = None


os.register_at_fork(after_in_child=_forget)
