"""Sandboxes: containers that run what they are told, one command after another, and nothing of yours."""

import asyncio
import builtins
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from squall_contracts.sandboxes import (
    Ended,
    EndSandbox,
    FindSandbox,
    GetTunnels,
    ListSandboxes,
    ReloadVolumes,
    SandboxInfo,
    TagSandbox,
)

from squall import _client, _sync, _validate
from squall._modal.handle import Handle, Page
from squall._modal.spellings import old_spelling
from squall._sandbox import creating, waiting
from squall._sandbox.commands import Commands
from squall._sandbox.connecting import SandboxConnectCredentials
from squall._sandbox.filesystem_methods import FilesystemMethods
from squall._sandbox.input import SandboxInput
from squall._sandbox.output import Output
from squall._sandbox.probe import Probe
from squall._shared.iterating import Items
from squall.exception import (
    ClientClosed,
    InvalidError,
    SandboxTerminatedError,
    SandboxTimeoutError,
    TimeoutError,
)
from squall.io_streams import StreamReader, StreamWriter

if TYPE_CHECKING:
    from squall._terminal.tunnelling import Tunnel
    from squall._volume.mounts import Mounted
    from squall.app import App
    from squall.image import Image
    from squall.logs import Logs
    from squall.secret import Secret

__all__ = ["Probe", "Sandbox"]


async def _create(
    *args: str,
    app: "App | None" = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    image: "Image | None" = None,
    env: Mapping[str, str | None] | None = None,
    secrets: "Collection[Secret] | None" = None,
    timeout: int | None = 300,
    idle_timeout: int | None = None,
    workdir: str | None = None,
    gpu: str | None = None,
    cpu: float | tuple[float, float] | None = None,
    memory: int | tuple[int, int] | None = None,
    ephemeral_disk: int | None = None,
    block_network: bool = False,
    outbound_cidr_allowlist: Sequence[str] | None = None,
    outbound_domain_allowlist: Sequence[str] | None = None,
    inbound_cidr_allowlist: Sequence[str] | None = None,
    volumes: "Mapping[Any, Mounted] | None" = None,
    pty: bool = False,
    encrypted_ports: Sequence[int] = (),
    h2_ports: Sequence[int] = (),
    unencrypted_ports: Sequence[int] = (),
    readiness_probe: Probe | None = None,
    verbose: bool = False,
    client: object = None,
    cidr_allowlist: Sequence[str] | None = None,
    environment_name: str | None = None,
    **others: Any,
) -> "Sandbox":
    """Make a sandbox that runs the command `args`; without one, the image's, or none: it waits.

    Returns once the server has it; its container follows, and commands wait for that. It lives for
    `timeout` seconds at most (None: a day), `idle_timeout` seconds unused, and as long as its `app`
    runs; the end of this process is none of it. `workdir`: an absolute path. `cpu` in cores and
    `memory` in MiB, each alone or as `(request, limit)`. `ephemeral_disk`: MiB of files outside
    volumes past which it is ended; None: its runner's own limit. `env` wins over `secrets`. Inside a
    function `app` may be left out. `outbound_cidr_allowlist`: the only networks it may connect to.
    InvalidError names a field at fault; AlreadyExistsError: another of the app has that `name`.
    """
    if cidr_allowlist is not None:
        old_spelling("cidr_allowlist", "outbound_cidr_allowlist")
        outbound_cidr_allowlist = cidr_allowlist
    if environment_name is not None:
        old_spelling("Sandbox.create(environment_name=…)", "the environment of its app")
    if outbound_domain_allowlist is not None:
        raise InvalidError(
            "outbound_domain_allowlist: networks are allowed by address here: use "
            "outbound_cidr_allowlist"
        )
    asked = creating.Asked(
        argv=args,
        app=app,
        name=name,
        tags=tags,
        image=image,
        env=env,
        secrets=secrets,
        timeout=timeout,
        idle_timeout=idle_timeout,
        workdir=workdir,
        gpu=gpu,
        cpu=cpu,
        memory=memory,
        ephemeral_disk=ephemeral_disk,
        block_network=block_network,
        outbound_cidrs=outbound_cidr_allowlist,
        inbound_cidrs=inbound_cidr_allowlist,
        volumes=volumes or {},
        pty=pty,
        ports=(*encrypted_ports, *h2_ports, *unencrypted_ports),
        probe=readiness_probe,
        others=others,
    )
    return Sandbox._of(await creating.create(asked))


async def _from_id(sandbox_id: str, client: object = None) -> "Sandbox":
    """The sandbox of that id, be it ended. NotFoundError."""
    _validate.text("sandbox_id", sandbox_id)
    connected = await _client.connected()
    return Sandbox._of(await connected.control(FindSandbox(sandbox_id=sandbox_id)))


async def _from_name(
    app_name: str,
    name: str,
    *,
    environment_name: str | None = None,
    include_terminated: bool = False,
    client: object = None,
) -> "Sandbox":
    """The sandbox of a deployed app that has that name; with `include_terminated` also the last
    that had it. NotFoundError."""
    connected = await _client.connected()
    place = connected.environment
    if environment_name is not None:
        place = _validate.environment_name(environment_name)
    question = FindSandbox(
        environment=place,
        app=_validate.object_name("app_name", app_name),
        name=_validate.object_name("name", name),
        include_ended=_validate.truth("include_terminated", include_terminated),
    )
    return Sandbox._of(await connected.control(question))


async def _list(
    *, app_id: str | None = None, tags: Mapping[str, str] | None = None, client: object = None
) -> AsyncGenerator["Sandbox", None]:
    """Those that live, of one app or of all in the workspace, with all of these tags."""
    connected = await _client.connected()
    question = ListSandboxes(app_id=app_id or "", tags=_validate.labels("tags", tags or {}))
    for info in (await connected.control(question)).sandboxes:
        yield Sandbox._of(info)


class Sandbox(Commands, FilesystemMethods, Handle):
    """A container that runs one command, and others that it is told to: `Sandbox.create(…)`.

    Whatever runs in it has no credentials of Squall's, and nothing of the machine but its image,
    its volumes and the network it was given.
    """

    create = _sync.synced_function(_create)
    from_id = _sync.synced_function(_from_id)
    from_name = _sync.synced_function(_from_name)
    list = Items("list", _list)

    _info: SandboxInfo
    _ended: Ended | None
    _attached: bool
    _stdout: StreamReader[str]
    _stderr: StreamReader[str]
    _stdin: StreamWriter

    def __init__(self) -> None:
        raise InvalidError("make a sandbox with Sandbox.create(…), or find one: Sandbox.from_id(…)")

    @classmethod
    def _of(cls, info: SandboxInfo) -> Self:
        made = object.__new__(cls)
        made._info, made._ended, made._attached = info, info.ended, True
        made._container_id = info.container_id
        made._stdout = StreamReader(Output(info, 1).get, descriptor=1)
        made._stderr = StreamReader(Output(info, 2).get, descriptor=2)
        made._stdin = SandboxInput(made)
        return made

    def __repr__(self) -> str:
        return f"Sandbox(object_id={self.object_id!r})"

    # --- what it is -------------------------------------------------------------------------------

    @property
    def object_id(self) -> str:
        """Its id, for `Sandbox.from_id`."""
        return self._info.sandbox_id

    async def _page(self) -> Page:
        return Page(f"containers/{self._info.container_id}", self._info.environment)

    @property
    def returncode(self) -> int | None:
        """Its command's exit code, 124 if its timeout ended it, 137 if somebody did. None while it
        runs, as far as `wait` or `poll` has seen."""
        return None if self._ended is None else self._ended.returncode

    @property
    def logs(self) -> "Logs":
        """What its command prints, with times."""
        from squall.logs import Logs

        return Logs(self._log_subject)

    @_sync.synced
    async def hydrate(self, client: object = None) -> Self:
        """It is known already."""
        return self

    @_sync.synced
    async def get_tags(self) -> dict[str, str]:
        self._ensure_attached()
        return dict((await self._ask(FindSandbox(sandbox_id=self.object_id))).tags)

    @_sync.synced
    async def set_tags(self, tags: Mapping[str, str], *, client: object = None) -> None:
        """Its tags are these from now on, whatever they were."""
        self._ensure_attached()
        await self._ask(TagSandbox(sandbox_id=self.object_id, tags=_validate.labels("tags", tags)))

    # --- its own command --------------------------------------------------------------------------

    @property
    def stdout(self) -> StreamReader[str]:
        """What its own command prints, line by line."""
        return self._stdout

    @property
    def stderr(self) -> StreamReader[str]:
        return self._stderr

    @property
    def stdin(self) -> StreamWriter:
        """What its own command reads."""
        self._ensure_attached()
        return self._stdin

    # --- its end ----------------------------------------------------------------------------------

    @_sync.synced
    async def wait(self, raise_on_termination: bool = True) -> None:
        """Wait for its end. SandboxTimeoutError: its timeout ended it. SandboxTerminatedError:
        somebody did, unless `raise_on_termination` is False."""
        ended = await self._end()
        if ended.outcome == "timeout":
            raise SandboxTimeoutError(f"sandbox {self.object_id} timed out: {ended.reason}")
        if ended.outcome != "exited" and raise_on_termination:
            raise SandboxTerminatedError(f"sandbox {self.object_id} was ended: {ended.reason}")

    @_sync.synced
    async def wait_until_ready(self, *, timeout: int = 300) -> None:
        """Wait until its readiness probe has succeeded. TimeoutError; InvalidError: it has none;
        SandboxTerminatedError or SandboxTimeoutError: it has ended."""
        self._ensure_attached()
        within_s = _validate.number("timeout", timeout, least=0.001)
        if not self._info.has_probe:
            raise InvalidError("wait_until_ready: give Sandbox.create a readiness_probe")
        await self._until(waiting.is_ready, within_s, "ready")

    @_sync.synced
    async def poll(self) -> int | None:
        """Its exit code, as `returncode`; None while it runs."""
        self._ensure_attached()
        if self._ended is None:
            self._note(await self._ask(FindSandbox(sandbox_id=self.object_id)))
        return self.returncode

    @_sync.synced
    async def terminate(self, *, wait: bool = False) -> int | None:
        """End it at once; harmless if it has ended. With `wait` its exit code, once it has."""
        self._ensure_attached()
        if self._ended is None:
            self._note(await self._ask(EndSandbox(sandbox_id=self.object_id)))
        if not wait:
            return None
        return (await self._end()).returncode

    @_sync.synced
    async def detach(self) -> None:
        """Let go of it: it lives on, and of this handle only `wait` can still be used."""
        self._attached = False

    @_sync.synced
    async def reload_volumes(self, *, timeout: int = 55) -> None:
        """Show it the newest state of its volumes. TimeoutError."""
        self._ensure_attached()
        await self._running()
        try:
            async with asyncio.timeout(_validate.number("timeout", timeout, least=0.001)):
                connected = await _client.connected()
                await connected.control(ReloadVolumes(sandbox_id=self.object_id))
        except builtins.TimeoutError as error:
            raise TimeoutError(f"reload_volumes took longer than {timeout} s") from error

    @_sync.synced
    async def tunnels(self, timeout: int = 50) -> "dict[int, Tunnel]":
        """Where its ports are reached from outside, by port. SandboxTimeoutError: it has not begun
        within `timeout` seconds."""
        from squall._terminal.tunnelling import Tunnel

        self._ensure_attached()
        try:
            async with asyncio.timeout(_validate.number("timeout", timeout, least=0.001)):
                await self._running()
                connected = await _client.connected()
                found = await connected.control(GetTunnels(sandbox_id=self.object_id))
        except builtins.TimeoutError as error:
            raise SandboxTimeoutError(
                f"sandbox {self.object_id} has not begun within {timeout} s"
            ) from error
        return {
            each.port: Tunnel(each.host, each.outer_port, each.host, each.outer_port)
            for each in found.tunnels
        }

    @_sync.synced
    async def create_connect_token(
        self, user_metadata: str | dict[str, Any] | None = None, port: int = 8080
    ) -> SandboxConnectCredentials:
        """A URL at the server, and a token with which HTTP and WebSocket clients reach `port` of the
        sandbox there: as `Authorization: Bearer <token>`, or `_squall_connect_token` in the query.

        The port need not be named in `create`. The token opens nothing else, and this for as long as
        the sandbox lives. `user_metadata`: told to the server in the sandbox with each request, in the
        header `X-Verified-User-Data`, a dict as JSON. InvalidError, NotFoundError.
        """
        from squall._sandbox.connecting import connect

        self._ensure_attached()
        return await connect(self.object_id, user_metadata, port)

    # --- inside -----------------------------------------------------------------------------------

    def _ensure_attached(self) -> None:
        if not self._attached:
            raise ClientClosed("detach() was called: find it anew with Sandbox.from_id(…)")

    def _note(self, info: SandboxInfo) -> None:
        self._info = info
        self._ended = self._ended or info.ended

    async def _ask(self, question: FindSandbox | TagSandbox | EndSandbox) -> SandboxInfo:
        connected = await _client.connected()
        return await connected.control(question)

    async def _end(self) -> Ended:
        """How it has ended, once it has."""
        if self._ended is None:
            client = await _client.connected()
            self._note(await waiting.until(client, self.object_id, waiting.has_ended))
        assert self._ended is not None
        return self._ended

    async def _log_subject(self, _client: object) -> str:
        from squall_contracts import subjects

        info = self._info
        return subjects.log(info.environment, info.app_id, info.sandbox_id, info.container_id)
