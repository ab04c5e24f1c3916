"""One build on a Docker engine: Dockerfiles, and between them steps that have secrets.

A step with secrets is no RUN of a Dockerfile, whose arguments and variables stay in the history:
it runs in a container that is told its variables and its command through stdin, and is committed
with the settings of the image it began with.
"""

import codecs
import hashlib
from collections.abc import Mapping
from typing import IO, Any, Final

import aiodocker
from squall_contracts import images
from squall_contracts.message import encode

from squall_builder import engine
from squall_builder.buildlog import BuildLog
from squall_builder.built import StepValues
from squall_builder.core import BEFORE, Hidden, Plan, dockerfile_name
from squall_builder.lines import quoted

STEP_LABEL: Final = "squall.step"
"""On the image a hidden step left, and all made from it: a digest of the step and what was before."""
BUILD_LABEL: Final = "squall.build"
"""On the container of a hidden step: the image it is for."""
WORKSPACE_LABEL: Final = "squall.workspace"
IMAGE_LABEL: Final = "squall.image"


class EngineBuild:
    """Makes one image, once."""

    def __init__(
        self,
        docker: aiodocker.Docker,
        order: images.BuildImage,
        planned: Plan,
        log: BuildLog,
        *,
        values: StepValues,
        arguments: Mapping[str, str],
    ) -> None:
        """`arguments`: build arguments of every part."""
        self._docker = docker
        self._order = order
        self._plan = planned
        self._values = values
        self._arguments = {**arguments, **planned.build_args}
        self._network = ""
        self.log = log

    async def run(self, context: IO[bytes], name: str, network: str) -> None:
        """Build what `context` holds and call it `name`; its steps are on `network`."""
        self._network = network
        if self._plan.hidden:
            await self._remove_abandoned()
        image = await self._part(context, 0, "", "" if self._plan.hidden else name)
        last = len(self._plan.hidden)
        for number, step in enumerate(self._plan.hidden, 1):
            final = name if number == last else ""
            image = await self._hidden(image, step, "" if step.then else final)
            if step.then:
                image = await self._part(context, number, image, final)

    # --- parts that are Dockerfiles --------------------------------------------------------------

    async def _part(self, context: IO[bytes], number: int, before: str, name: str) -> str:
        """Build one Dockerfile of the context; the id of the image."""
        context.seek(0)
        self.log.part(number)
        image = ""
        async for event in engine.build(
            self._docker,
            context,
            dockerfile=dockerfile_name(number),
            tag=name,
            network=self._network,
            arguments=self._arguments | ({BEFORE: before} if before else {}),
            labels=self._labels(name),
            nocache=bool(self._order.recipe.force),
        ):
            await self.log.event(event)
            image = event.get("aux", {}).get("ID", image)
        await self.log.flush()
        return image

    def _labels(self, name: str) -> dict[str, str]:
        """What is not the end of this build alone doesn't name it: other images begin with it."""
        labels = {WORKSPACE_LABEL: self._order.workspace}
        return labels | ({IMAGE_LABEL: self._order.image_id} if name else {})

    # --- steps with secrets ----------------------------------------------------------------------

    async def _hidden(self, before: str, step: Hidden, name: str) -> str:
        """Run one such step, unless that was done before; the id of the image it leaves."""
        await self.log.hidden(step.owner)
        described = await self._docker.images.inspect(before)
        mark = hashlib.sha256(
            encode((self._order.workspace, described["Id"], step.command, step.secrets))
        ).hexdigest()
        image = None if self._order.recipe.force else await self._kept(mark)
        if image is None:
            image = await self._run(described, step, mark)
        if name:
            repository, _, label = name.rpartition(":")
            await self._docker.images.tag(image, repository, tag=label)
        return image

    async def _kept(self, mark: str) -> str | None:
        """The image that step left. Images made from it have its label too, but are younger."""
        found = await self._docker.images.list(
            all=True, filters={"label": [f"{STEP_LABEL}={mark}"]}
        )
        described = [await self._docker.images.inspect(each["Id"]) for each in found]
        oldest = min(described, key=lambda each: str(each["Created"]), default=None)
        return None if oldest is None else str(oldest["Id"])

    async def _run(self, before: Mapping[str, Any], step: Hidden, mark: str) -> str:
        container = await self._docker.containers.create(
            {
                "Image": before["Id"],
                "Entrypoint": ["/bin/sh", "-s"],
                "Cmd": [],
                "OpenStdin": True,
                "StdinOnce": True,
                "AttachStdin": True,
                "AttachStdout": True,
                "AttachStderr": True,
                "Labels": {
                    WORKSPACE_LABEL: self._order.workspace,
                    BUILD_LABEL: self._order.image_id,
                },
                "HostConfig": {"NetworkMode": self._network, "LogConfig": {"Type": "none"}},
            }
        )
        try:
            config = before.get("Config") or {}
            shell = config.get("Shell") or ["/bin/sh", "-c"]
            values = {**self._arguments, **self._values[step.owner]}
            await self._talk(container, script(values, shell, step.command))
            code = (await container.wait())["StatusCode"]
            if code:
                raise self.log.exited(code)
            made = await container.commit(
                message=self._plan.titles[step.owner], config=_settings(config, mark)
            )
            return str(made["Id"])
        finally:
            await container.delete(force=True, v=True)

    async def _talk(self, container: Any, script: bytes) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        async with container.attach(stdin=True, stdout=True, stderr=True) as stream:
            await container.start()
            await stream.write_in(script)
            while (message := await stream.read_out()) is not None:
                await self.log.output(decoder.decode(message.data))
        await self.log.flush()

    async def _remove_abandoned(self) -> None:
        """Containers of a builder that was killed while it made this image."""
        labels = {BUILD_LABEL: self._order.image_id, WORKSPACE_LABEL: self._order.workspace}
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        for container in await self._docker.containers.list(all=True, filters=wanted):
            await container.delete(force=True, v=True)


def script(values: Mapping[str, str], shell: list[str], command: str) -> bytes:
    """What the container's shell reads: variables, then the command in its place, with no stdin."""
    exports = [f"export {name}={quoted(value)}" for name, value in values.items()]
    words = " ".join(quoted(word) for word in (*shell, command))
    return "\n".join([*exports, f"exec {words} </dev/null", ""]).encode()


def _settings(before: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """The image's settings as they were: an empty entrypoint is one, None would be the container's."""
    return {
        **before,
        "Entrypoint": before.get("Entrypoint") or [],
        "Labels": {**(before.get("Labels") or {}), STEP_LABEL: mark},
    }
