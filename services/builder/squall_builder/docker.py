"""Images built by the Docker engine, with its classic builder."""

import asyncio
import hashlib
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final

import aiodocker
import aiohttp
from squall_contracts import images

from squall_builder import guest_site, references
from squall_builder.bootstrap import base_tag
from squall_builder.buildlog import BuildLog
from squall_builder.built import (
    NO_VALUES,
    BuildError,
    Built,
    Fetch,
    InUseError,
    Say,
    StepValues,
)
from squall_builder.context import ContextTar
from squall_builder.core import BEFORE, BadRecipeError, Plan, plan
from squall_builder.engine_build import EngineBuild
from squall_builder.fence import Fence
from squall_builder.lines import CONTEXT, Options
from squall_builder.reaching import network_arguments, proxy_arguments
from squall_builder.settings import Settings
from squall_builder.sharing import PIECE_BYTES
from squall_builder.tools import uv_binary

OFFICIAL_BASE: Final = "python:{python}-slim-bookworm"
SUITES: Final = ("bookworm", "trixie", "bullseye")
NOT_CONNECTED: Final = 900
"""What aiodocker has for a status when it reaches no engine."""
UNNAMED: Final = "squall/before"
"""What stands for the image a later Dockerfile goes on with, where its references are looked at."""
OLDEST_PYTHON: Final = (3, 11)
ASKING_BYTES: Final = 512 * 1024 * 1024
"""Of memory, for a Python that says its version."""


class DockerRuntime:
    """Builds images on one Docker engine."""

    name = "docker"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scratch = Path(settings.state_dir) / "builds"
        self._opened: aiodocker.Docker | None = None
        self._fence = Fence(settings)
        self._engine_name = ""

    def _engine(self) -> aiodocker.Docker:
        if self._opened is None:
            try:
                self._opened = aiodocker.Docker(url=self._settings.docker_url or None)
            except AssertionError as error:  # aiodocker's answer where it finds no socket
                raise BuildError(
                    "no Docker engine found: start it, or set SQUALL_BUILDER_DOCKER_URL"
                ) from error
        return self._opened

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def find(self, order: images.BuildImage) -> Built | None:
        name = images.docker_tag(order.workspace, order.image_id)
        async with _plain_errors():
            described = await self._inspect(name)
            if described is None:
                return None
            return await self._describe(order, name, described)

    async def build(
        self, order: images.BuildImage, fetch: Fetch, say: Say, values: StepValues = NO_VALUES
    ) -> Built:
        name = images.docker_tag(order.workspace, order.image_id)
        async with _plain_errors():
            options = await self._options(order)
            try:
                planned = plan(order.recipe, options)
            except BadRecipeError as error:
                raise BuildError(str(error)) from error
            for text in planned.texts():
                if refused := references.refusal(
                    text,
                    {**planned.build_args, BEFORE: UNNAMED},
                    trusted=(options.base_image, UNNAMED),
                ):
                    raise BuildError(refused)
            self._scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._scratch) as file:
                await self._pack(file, planned, options, fetch)
                arguments = network_arguments(self._settings) | proxy_arguments(self._settings)
                log = BuildLog(planned, say)
                build = EngineBuild(
                    self._engine(), order, planned, log, values=values, arguments=arguments
                )
                await self._run(build, file, name)
            described = await self._inspect(name)
            if described is None:
                raise BuildError(f"Docker finished the build but has no image {name}: ask again")
            return await self._describe(order, name, described)

    async def remove(self, account: str, image_id: str) -> int:
        name = images.docker_tag(account, image_id)
        async with _plain_errors():
            described = await self._inspect(name)
            if described is None:
                return 0
            try:
                await self._engine().images.delete(name)
            except aiodocker.DockerError as error:
                if error.status == 409:
                    raise InUseError(f"image {image_id} is in use: {error.message}") from error
                raise
            layers = int(described["Size"])
            return layers if await self._inspect(described["Id"]) is None else 0

    async def engine_name(self) -> str:
        """Names this engine among all. BuildError: none answers."""
        if not self._engine_name:
            async with _plain_errors():
                info = await self._engine().system.info()
            self._engine_name = hashlib.sha256(str(info["ID"]).encode()).hexdigest()[:22]
        return self._engine_name

    async def saved(self, account: str, image_id: str) -> AsyncIterator[bytes]:
        """An image as the engine saves it, its base included. BuildError: it isn't here."""
        name = images.docker_tag(account, image_id)
        async with _plain_errors(), self._engine().images.export_image(name) as archive:
            async for piece in archive.iter_chunked(PIECE_BYTES):
                yield piece

    async def _options(self, order: images.BuildImage) -> Options:
        base, complete, recipe = "", False, order.recipe
        if isinstance(recipe.base, images.DebianSlim):
            base, complete = await self._base(recipe.base.python_version)
        elif isinstance(recipe.base, images.Snapshot):
            base, complete = await self._snapshot(order.workspace, recipe.base), True
        return Options(
            base_image=base,
            base_complete=complete,
            ca_bundle=bool(self._settings.ca_bundle),
            arguments=tuple(network_arguments(self._settings)),
            copy_uv=uv_binary() is not None,
            copy_site=guest_site.fits(recipe),
        )

    async def _base(self, python: str) -> tuple[str, bool]:
        """What debian_slim starts from, and whether it is known to have python and pip."""
        if self._settings.base_image:
            return self._settings.base_image.format(python=python), False
        for suite in SUITES:
            bootstrapped = base_tag(suite, python)
            if await self._inspect(bootstrapped) is not None:
                return bootstrapped, True
        return OFFICIAL_BASE.format(python=python), True

    async def _snapshot(self, account: str, snapshot: images.Snapshot) -> str:
        """The tag under which a runner kept a snapshot. BuildError: this engine hasn't got it."""
        if snapshot.directory:
            raise BuildError(
                f"a snapshot of the directory {snapshot.directory} alone has no steps: mount it with "
                "Sandbox.mount_image, or take snapshot_filesystem"
            )
        kept = images.image_id(images.Recipe(base=snapshot))
        name = images.docker_tag(account, kept)
        if await self._inspect(name) is None:
            raise BuildError(
                f"snapshot {kept} of {snapshot.container_id} is not on the builder's machine: it was "
                "removed, or taken on another machine, whose images the builder can't reach"
            )
        return name

    async def _inspect(self, name: str) -> dict[str, Any] | None:
        try:
            return await self._engine().images.inspect(name)
        except aiodocker.DockerError as error:
            if error.status == 404:
                return None
            raise

    async def _pack(self, file: IO[bytes], planned: Plan, options: Options, fetch: Fetch) -> None:
        archive = ContextTar(file, planned.directory_modes)
        for path, text in planned.dockerfiles():
            archive.data(path, text.encode())
        if options.ca_bundle:
            archive.local(f"{CONTEXT}/ca.pem", Path(self._settings.ca_bundle))
        uv = uv_binary() if planned.uses_uv and options.copy_uv else None
        if uv is not None:
            archive.local(f"{CONTEXT}/uv", uv)
        if planned.uses_site:
            archive.local(f"{CONTEXT}/site/run_function.py", guest_site.RUNNER)
            for name, directory in guest_site.packages(options.copy_site).items():
                archive.tree(f"{CONTEXT}/site/{name}", directory)
        for entry in planned.context:
            await archive.stream(entry.path, entry.size_bytes, entry.mode, fetch(entry))
        archive.end()

    async def _run(self, build: EngineBuild, file: IO[bytes], name: str) -> None:
        log = build.log
        try:
            async with (
                asyncio.timeout(self._settings.build_timeout_s),
                self._fence.network(self._engine()) as network,
            ):
                await build.run(file, name, network)
        except aiodocker.exceptions.DockerStreamError as error:
            await log.flush()
            raise log.failure(error.message) from error
        except TimeoutError:
            raise log.failure(
                f"took longer than {self._settings.build_timeout_s:g} s: raise "
                "SQUALL_BUILDER_BUILD_TIMEOUT_S"
            ) from None

    async def _describe(
        self, order: images.BuildImage, name: str, described: dict[str, Any]
    ) -> Built:
        config = described.get("Config") or {}
        base = order.recipe.base
        if isinstance(base, images.DebianSlim | images.Snapshot) and not _may_change_python(order):
            version = ".".join(base.python_version.split(".")[:2])
        else:
            version = await self._ask_python(name)
        env = dict(base.env) if isinstance(base, images.Snapshot) else {}
        for step in order.recipe.steps:
            if isinstance(step, images.SetEnv):
                env |= step.values
        return Built(
            reference=name,
            python_version=version,
            size_bytes=int(described["Size"]),
            workdir=config.get("WorkingDir") or "",
            env=env,
            engine=await self.engine_name(),
            layers_sha256=images.layers_sha256(described["RootFS"].get("Layers") or ()),
        )

    async def _ask_python(self, name: str) -> str:
        """The Python version in an image, by running it: what is called python there is the user's.
        BuildError: none, or too old."""
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        host: dict[str, Any] = {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "PidsLimit": 64,
            "Memory": ASKING_BYTES,
        }
        container = await self._engine().containers.create(
            {"Image": name, "Entrypoint": ["python", "-c", code], "Cmd": [], "HostConfig": host}
        )
        try:
            try:
                await container.start()
            except aiodocker.DockerError as error:
                raise BuildError(
                    f"the image has no python to run ({error.message}): give it add_python="
                ) from error
            await container.wait()
            output = "".join(await container.log(stdout=True, stderr=True)).strip()
        finally:
            await container.delete(force=True, v=True)
        if not re.fullmatch(r"\d+\.\d+", output):
            raise BuildError(f"python doesn't run in the image: {output[-300:]}")
        if tuple(map(int, output.split("."))) < OLDEST_PYTHON:
            raise BuildError(
                f"the image has Python {output}, and 3.{OLDEST_PYTHON[1]} is the oldest that works"
            )
        return output


def _may_change_python(order: images.BuildImage) -> bool:
    """Whether a step could have put another Python first on PATH."""
    loose = (images.RunCommands, images.DockerfileCommands)
    return any(
        isinstance(step, loose) or (isinstance(step, images.SetEnv) and "PATH" in step.values)
        for step in order.recipe.steps
    )


@asynccontextmanager
async def _plain_errors() -> AsyncIterator[None]:
    """Turn what the engine's client raises into one line that says what to do."""
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status != NOT_CONNECTED:
            raise BuildError(f"Docker refused: {error.message}") from error
        raise BuildError(f"{error.message}: {_remedy(error.message)}") from error
    except aiohttp.ClientError as error:
        raise BuildError(f"Docker can't be reached: {error}: is the engine running?") from error


def _remedy(message: str) -> str:
    if "permission denied" in message.lower():
        return "join the docker group"
    return "is the engine running?"
