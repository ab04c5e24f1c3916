"""What `Sandbox.create(…)` was told, checked and made into what is sent to the server."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
from squall_contracts import images
from squall_contracts.functions import DAY_S, FunctionSpec
from squall_contracts.sandbox_spec import MAX_ARGUMENT_BYTES, SandboxSpec
from squall_contracts.sandboxes import CreateSandbox, SandboxInfo
from squall_contracts.terminals import Screen

from squall import _client, _container, _validate
from squall._apps.placing import put_in_place, together
from squall._apps.spec import Plan, plan
from squall._image.layers import Ready
from squall._modal.spellings import current
from squall._sandbox.probe import Probe
from squall._secret.sealing import check_place, with_secrets
from squall._volume.mounts import look_up
from squall.exception import InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall._client import Client
    from squall._volume.mounts import Mounted
    from squall.app import App
    from squall.image import Image
    from squall.secret import Secret

NAME: Final = "sandbox"
_in_place: "set[tuple[int, str]]" = set()
"""Images that are known to be built, by the connection that knows."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a sandbox is to be, in the words of users."""

    argv: tuple[str, ...]
    app: "App | None"
    name: str | None
    tags: Mapping[str, str] | None
    image: "Image | None"
    env: Mapping[str, str | None] | None
    secrets: "Collection[Secret] | None"
    timeout: int | None
    idle_timeout: int | None
    workdir: str | None
    gpu: str | None
    cpu: float | tuple[float, float] | None
    memory: int | tuple[int, int] | None
    ephemeral_disk: int | None
    block_network: bool
    outbound_cidrs: Sequence[str] | None
    inbound_cidrs: Sequence[str] | None
    volumes: "Mapping[Any, Mounted]"
    pty: bool
    ports: Sequence[int]
    probe: Probe | None
    others: Mapping[str, Any]


async def create(asked: Asked) -> SandboxInfo:
    """Have it made. On the SDK loop. InvalidError, NotFoundError, AlreadyExistsError, ImageBuildError."""

    current("Sandbox.create", asked.others)
    sandbox = _spec(asked)
    app_id, environment = _home(asked.app)
    made = await asyncio.to_thread(_planned, asked)
    client = await _client.connected()
    spec = await _prepared(client, made, environment or client.environment, sandbox)
    request = CreateSandbox(
        app_id=app_id,
        spec=spec,
        name="" if asked.name is None else _validate.object_name("name", asked.name),
        tags=_validate.labels("tags", asked.tags or {}),
    )
    try:
        return await client.control(request)
    except NotFoundError as error:
        known = (id(client), spec.image_id)
        if known not in _in_place or spec.image_id not in str(error):
            raise
    _in_place.discard(known)  # it was removed meanwhile: build it again
    await put_in_place(client, made)
    return await client.control(request)


def check_argv(label: str, argv: Sequence[object]) -> tuple[str, ...]:
    """InvalidError unless all are str, and not too long together."""
    if not all(isinstance(each, str) for each in argv):
        raise InvalidError(f"{label}: all arguments must be str")
    texts = tuple(str(each) for each in argv)
    size = sum(len(each.encode()) for each in texts)
    if size > MAX_ARGUMENT_BYTES:
        raise InvalidError(
            f"{label}: the arguments have {size} bytes in all, more than {MAX_ARGUMENT_BYTES}"
        )
    return texts


def check_workdir(workdir: object) -> str:
    if workdir is None:
        return ""
    if not isinstance(workdir, str) or not workdir.startswith("/"):
        raise InvalidError(f"workdir must be an absolute path, not {workdir!r}")
    return workdir


def _spec(asked: Asked) -> SandboxSpec:
    if asked.block_network and (asked.ports or asked.outbound_cidrs is not None):
        raise InvalidError(
            "block_network: a sandbox without network has no ports and no allowlist: leave one out"
        )
    if asked.probe is not None and not isinstance(asked.probe, Probe):
        raise InvalidError(f"readiness_probe must be a squall.Probe, not {asked.probe!r}")
    idle_s = asked.idle_timeout
    return SandboxSpec(
        argv=_command(asked),
        workdir=check_workdir(asked.workdir),
        idle_timeout_s=None
        if idle_s is None
        else _validate.number("idle_timeout", idle_s, least=1, most=DAY_S),
        screen=Screen() if _validate.truth("pty", asked.pty) else None,
        ports=tuple(_validate.whole("ports", each, least=1, most=65535) for each in asked.ports),
        inbound_cidrs=_validate.cidrs("inbound_cidr_allowlist", asked.inbound_cidrs),
        probe=None if asked.probe is None else asked.probe._wire(),
    )


def _command(asked: Asked) -> tuple[str, ...]:
    """The arguments, behind the image's own entrypoint; without any, the image's own command."""
    argv = check_argv("Sandbox.create", asked.argv)
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    for layer in asked.image._layers if asked.image is not None else ():
        step = layer.ready if isinstance(layer, Ready) else None
        if isinstance(step, images.Entrypoint):
            entry = step.argv
        elif isinstance(step, images.Cmd):
            command = step.argv
    return (*entry, *(argv or command))


def _home(app: "App | None") -> tuple[str, str | None]:
    """The app it belongs to, and that one's environment."""
    if app is None:
        here = _container.assignment()
        if here is None:
            raise InvalidError(
                "Sandbox.create needs app=…: use App.lookup(name, create_if_missing=True)"
            )
        return here.app_id, here.environment
    if app.app_id is None:
        raise ValueError(
            "the app does not run: use App.lookup(name, create_if_missing=True), or app.run()"
        )
    return app.app_id, app._environment


def _planned(asked: Asked) -> Plan:
    """As an app of one function that has what the sandbox is to have. Blocks on disk."""
    from squall.app import App

    app = App(NAME, image=asked.image or (asked.app.image if asked.app else None))
    app.function(
        name=NAME,
        include_source=False,
        env=asked.env,
        secrets=tuple(asked.secrets or ()),
        gpu=asked.gpu,
        cpu=asked.cpu,
        memory=asked.memory,
        ephemeral_disk=asked.ephemeral_disk,
        timeout=DAY_S if asked.timeout is None else asked.timeout,
        block_network=asked.block_network,
        outbound_cidr_allowlist=asked.outbound_cidrs,
        volumes=asked.volumes,
    )(_nothing)
    return plan(app)


def _nothing() -> None:
    """No function of a sandbox's is ever called."""


async def _prepared(
    client: "Client", made: Plan, environment: str, sandbox: SandboxSpec
) -> FunctionSpec:
    """With its image built, its files uploaded, its volumes looked up and its secrets sealed."""
    work = []
    known = {(id(client), image_id) for image_id in made.images}
    if not known <= _in_place:
        work.append(put_in_place(client, made))
    if any(made.volumes.values()):
        work.append(look_up(made, environment))
    if any(made.secrets.values()) or any(made.buckets.values()):
        work.append(check_place(client, made, environment))
    await together(*work)
    _in_place.update(known)
    [spec] = await with_secrets(client, made)
    return msgspec.structs.replace(spec, module="", qualname="", sandbox=sandbox)
