"""Images of the process runtime: virtual environments on this machine, made by uv."""

import asyncio
import os
import secrets
import shlex
import shutil
import sys
from pathlib import Path
from typing import Final, assert_never

from squall_contracts import images

from squall_builder import guest_site
from squall_builder.buildlog import cause
from squall_builder.built import NO_VALUES, BuildError, Built, Fetch, Say, StepValues
from squall_builder.commands import run
from squall_builder.core import needs_docker
from squall_builder.lines import install_arguments, sync_arguments
from squall_builder.reaching import network_arguments, proxy_arguments
from squall_builder.settings import Settings
from squall_builder.titles import titles
from squall_builder.tools import host_uv

FILES: Final = images.FILES_OF_ENVIRONMENT
"""Steps run with its `root` as their working directory."""
SCRATCH: Final = "squall-build"
LEFT_OUT: Final = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "UV_PROJECT")


class VenvRuntime:
    """Builds images as directories below `<state_dir>/images`."""

    name = "process"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._images = Path(settings.state_dir) / "images"

    async def close(self) -> None:
        return None

    async def find(self, order: images.BuildImage) -> Built | None:
        place = self._place(order.workspace, order.image_id)
        return await self._describe(order, place) if (place / "bin" / "python").exists() else None

    async def build(
        self, order: images.BuildImage, fetch: Fetch, say: Say, values: StepValues = NO_VALUES
    ) -> Built:
        refusal = needs_docker(order.recipe)
        if refusal is not None:
            raise BuildError(refusal, refusal.partition(" needs Docker")[0])
        place = self._place(order.workspace, order.image_id)
        place.parent.mkdir(parents=True, exist_ok=True)
        for abandoned in place.parent.glob(f".{order.image_id}.*"):  # by a builder that was killed
            await asyncio.to_thread(shutil.rmtree, abandoned)
        draft = place.with_name(f".{order.image_id}.{secrets.token_hex(4)}")
        try:
            async with asyncio.timeout(self._settings.build_timeout_s):
                build = _Building(
                    order.recipe, draft, self._environment(), fetch, say, values=values
                )
                await build.run()
            if place.exists():
                await asyncio.to_thread(shutil.rmtree, place)
            draft.rename(place)
        except TimeoutError:
            raise BuildError(
                f"the build took longer than {self._settings.build_timeout_s:g} s: raise "
                "SQUALL_BUILDER_BUILD_TIMEOUT_S"
            ) from None
        except OSError as error:
            raise BuildError(f"{place.parent} can't be written: {error.strerror}") from error
        finally:
            if draft.exists():
                await asyncio.to_thread(shutil.rmtree, draft)
        return await self._describe(order, place)

    async def remove(self, account: str, image_id: str) -> int:
        place = self._place(account, image_id)
        if not place.exists():
            return 0
        freed = await asyncio.to_thread(_size_bytes, place)
        # Renamed first: half an image must not be found.
        doomed = place.with_name(f".{image_id}.{secrets.token_hex(4)}")
        place.rename(doomed)
        await asyncio.to_thread(shutil.rmtree, doomed)
        return freed

    def _place(self, account: str, image_id: str) -> Path:
        return self._images / account / image_id

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        given = network_arguments(self._settings) | proxy_arguments(self._settings)
        trusted = {
            name: self._settings.ca_bundle if value.endswith("/ca.pem") else value
            for name, value in given.items()
        }
        return inherited | trusted | {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}

    async def _describe(self, order: images.BuildImage, place: Path) -> Built:
        env: dict[str, str] = {}
        workdir = ""
        for step in order.recipe.steps:
            if isinstance(step, images.SetEnv):
                env |= step.values
            elif isinstance(step, images.Workdir):
                workdir = step.path
        return Built(
            reference=str(place),
            python_version=_minor(_python(order.recipe)),
            size_bytes=await asyncio.to_thread(_size_bytes, place),
            workdir=workdir,
            env=env,
        )


class _Building:
    """One environment in the making."""

    def __init__(
        self,
        recipe: images.Recipe,
        place: Path,
        environment: dict[str, str],
        fetch: Fetch,
        say: Say,
        *,
        values: StepValues,
    ) -> None:
        self._values = values
        self._recipe = recipe
        self._place = place
        self._environment = environment
        self._fetch = fetch
        self._say = say
        self._titles = titles(recipe)
        self._number = 0
        self._scratched = False

    async def run(self) -> None:
        uv = str(host_uv())
        python = await self._find_python(uv)
        await self._out(self._titles[0])
        await self._command(
            [uv, "venv", "-q", "--relocatable", "--no-project", "-p", python, str(self._place)]
        )
        for number, step in enumerate(self._recipe.steps, 1):
            self._number = number
            await self._out(self._titles[number])
            await self._step(step, uv)
        if self._scratched:
            await asyncio.to_thread(shutil.rmtree, self._place / SCRATCH)

    async def _step(self, step: images.Step, uv: str) -> None:
        match step:
            case images.PipInstall():
                await self._pip_install(step, uv)
            case images.UvSync():
                await self._uv_sync(step, uv)
            case images.SetEnv():
                self._environment = self._environment | step.values
            case images.CopyFiles():
                await self._lay(step.files, self._place / FILES)
            case images.RunFunction():
                await self._run_function(step, uv)
            case images.Workdir() | images.Cmd():
                pass  # said in the image's record, done by the runner
            case (
                images.AptInstall()
                | images.RunCommands()
                | images.DockerfileCommands()
                | images.Entrypoint()
            ):
                raise AssertionError("needs_docker() refuses these")
            case _:
                assert_never(step)

    async def _pip_install(self, step: images.PipInstall, uv: str) -> None:
        scratch = self._scratch()
        await self._lay(step.requirements, scratch)
        paths = tuple(str(scratch / file.path) for file in step.requirements)
        words = [uv, "pip", "install", "--python", str(self._place / "bin" / "python")]
        words += ["--prerelease", "allow"] if step.pre else []
        words += [*shlex.split(step.extra_options), *install_arguments(step, paths)]
        await self._command(words, step.env)

    async def _uv_sync(self, step: images.UvSync, uv: str) -> None:
        scratch = self._scratch()
        await self._lay(step.project, scratch)
        words = [uv, "sync", "--project", str(scratch), "--inexact", *sync_arguments(step)]
        variables = step.env | {"UV_PROJECT_ENVIRONMENT": str(self._place)}
        await self._command([*words, *shlex.split(step.extra_options)], variables)

    async def _run_function(self, step: images.RunFunction, uv: str) -> None:
        scratch = self._scratch()
        site = scratch / "site"
        site.mkdir()
        (site / "run_function.py").symlink_to(guest_site.RUNNER)
        ours = guest_site.fits(self._recipe)
        if not ours:
            target = ["--target", str(site), "cloudpickle", "msgspec"]
            python = str(self._place / "bin" / "python")
            await self._command([uv, "pip", "install", "--python", python, *target])
        for name, directory in guest_site.packages(ours).items():
            (site / name).symlink_to(directory)
        await self._lay((step.serialized,), scratch)
        await self._lay(step.files, scratch / "files")
        python = str(self._place / "bin" / "python")
        words = [python, str(site / "run_function.py"), str(scratch), f"{step.timeout_s:g}"]
        await self._command([*words, "process"], step.env)

    def _scratch(self) -> Path:
        place = self._place / SCRATCH / str(self._number)
        place.mkdir(parents=True)
        self._scratched = True
        return place

    async def _lay(self, files: tuple[images.ContextFile, ...], below: Path) -> None:
        for file in files:
            target = below / file.path.lstrip("/")
            if ".." in file.path.split("/"):
                raise BuildError(f"file {file.path!r} leaves the image", self._titles[self._number])
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                async for chunk in self._fetch(file):
                    out.write(chunk)
            target.chmod(file.mode)

    async def _find_python(self, uv: str) -> str:
        wanted = _python(self._recipe)
        if wanted in (_ours(2), _ours(3)):
            return sys.executable
        found: list[str] = []

        async def keep(line: str) -> None:
            found.append(line)

        words = [uv, "python", "find", "--no-project", "--no-python-downloads", "--quiet", wanted]
        if await run(words, self._environment, None, keep) != 0 or not found:
            raise BuildError(
                f"{self._titles[0]}: Python {wanted} is not on this machine: install it "
                f"(`uv python install {wanted}`), take {_ours(2)}, or use Docker",
                self._titles[0],
            )
        return found[-1]

    async def _command(self, words: list[str], env: dict[str, str] | None = None) -> None:
        lines: list[str] = []

        async def out(line: str) -> None:
            lines.append(line)
            await self._out(line)

        home = self._place / FILES / "root"
        if self._number:
            home.mkdir(parents=True, exist_ok=True)
        hidden = self._values.get(self._number, {})
        variables = {**self._environment, **hidden, **(env or {})}
        code = await run(words, variables, home if self._number else None, out)
        if code != 0:
            title = self._titles[self._number]
            raise BuildError(f"{title} failed with exit code {code}: {cause(lines[-50:])}", title)

    async def _out(self, line: str) -> None:
        await self._say(line, self._number, len(self._titles) - 1)


def _python(recipe: images.Recipe) -> str:
    if not isinstance(recipe.base, images.DebianSlim):
        raise BuildError("the process runtime builds debian_slim images only: use Docker")
    return recipe.base.python_version


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _ours(parts: int) -> str:
    return ".".join(map(str, sys.version_info[:parts]))


def _size_bytes(place: Path) -> int:
    return sum(path.lstat().st_size for path in place.rglob("*"))
