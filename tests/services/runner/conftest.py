"""Real runtimes with a stand-in guest: its assignment is Python source, which it runs."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from squall_contracts.message import new_id
from squall_runner import boot, mounting, zygote
from squall_runner.core import Limits
from squall_runner.docker import DockerRuntime
from squall_runner.process import ProcessRuntime
from squall_runner.runtime import Bind, Launch, Piece, Runtime, RuntimeUnavailable, Started
from squall_runner.settings import Settings
from squall_runner.slots import Slot, Slots

IMAGE = os.environ.get("SQUALL_TEST_IMAGE", "lab-base:py311")
"""A Docker image with Python 3.11 or newer."""
GUEST = """
import os
with open(os.environ["SQUALL_ASSIGNMENT"]) as file:
    source = file.read()
exec(compile(source, "guest", "exec"))
"""


class Bench:
    """A runtime and what it needs to start containers that run a piece of Python."""

    def __init__(self, runtime: Runtime, state: Path, runner_id: str) -> None:
        self.runtime = runtime
        self.runner_id = runner_id
        self.slots = Slots(state / "containers")
        self.site = state / "site"
        self.reference = IMAGE if runtime.name == "docker" else sys.prefix
        self.made: list[tuple[str, Slot]] = []
        self.last = Started(handle="")
        guest = self.site / "own" / "squall_guest"
        guest.mkdir(parents=True)
        (guest / "__init__.py").touch()
        (guest / "__main__.py").write_text(GUEST)
        (guest / "preload.py").touch()
        for module in (boot, mounting, zygote):
            shutil.copy(str(module.__file__), self.site)

    async def start(
        self,
        source: str,
        *,
        env: dict[str, str] | None = None,
        limits: Limits | None = None,
        block_network: bool = False,
        workspace: str = "lab",
        binds: tuple[Bind, ...] = (),
        peers: str = "",
    ) -> tuple[str, Slot]:
        slot = self.slots.slot(new_id("ct"))
        slot.make()
        slot.assignment.write_text(source)
        launch = Launch(
            slot=slot.name,
            labels={},
            workspace=workspace,
            reference=self.reference,
            directory=slot.directory,
            site=self.site,
            env=env or {},
            workdir="",
            limits=limits or Limits(cpu_shares=128, pids=256),
            block_network=block_network,
            binds=binds,
            peers=peers,
        )
        started = await self.runtime.start(await self.runtime.create(launch), launch)
        self.last, handle = started, started.handle
        self.made.append((handle, slot))
        return handle, slot

    async def output(self, handle: str, slot: Slot, position: str = "") -> list[Piece]:
        pieces: list[Piece] = []

        async def keep(piece: Piece) -> None:
            pieces.append(piece)

        await self.runtime.output(handle, slot.directory, position, keep)
        return pieces

    async def text(self, handle: str, slot: Slot, source: str = "stdout") -> str:
        """All it printed, once it has ended."""
        seen: list[Piece] = []
        async with anyio.create_task_group() as group:

            async def read() -> None:
                seen.extend(await self.output(handle, slot))

            group.start_soon(read)
            await self.runtime.wait(handle, slot.directory)
        return b"".join(piece.data for piece in seen if piece.source == source).decode()

    async def until(self, handle: str, slot: Slot, word: str) -> None:
        """Return once it has printed `word`."""
        found = anyio.Event()

        async def look(piece: Piece) -> None:
            if word.encode() in piece.data:
                found.set()

        async with anyio.create_task_group() as group:
            group.start_soon(self.runtime.output, handle, slot.directory, "", look)
            await found.wait()
            group.cancel_scope.cancel()


async def open_docker(settings: Settings, runner_id: str, tasks: TaskGroup) -> Runtime:
    """A Docker runtime; skips where there is no engine or no image to start from."""
    runtime = DockerRuntime(settings, runner_id, tasks)
    try:
        await runtime.open()
    except RuntimeUnavailable as error:
        pytest.skip(str(error))
    if not await runtime.has_image(IMAGE):
        await runtime.close()
        pytest.skip(f"image {IMAGE} is not there: set SQUALL_TEST_IMAGE to one with Python 3.11")
    return runtime


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened_bench(request.param, tmp_path) as made:
        yield made


@asynccontextmanager
async def opened_bench(name: str, state: Path, **settings: Any) -> AsyncIterator[Bench]:
    """Everything started on it is removed at the end."""
    runner_id = new_id("rn")
    chosen = Settings(
        **{"state_dir": str(state), "network": "squall-test", "sandboxes": 0, **settings}
    )
    async with hosted_tasks() as tasks:
        runtime: Runtime
        if name == "docker":
            runtime = await open_docker(chosen, runner_id, tasks)
        else:
            runtime = ProcessRuntime(chosen, state / "containers", tasks)
            await runtime.open()
        made = Bench(runtime, state, runner_id)
        yield made
        for handle, slot in made.made:
            await runtime.remove(handle)
            slot.forget()
        await runtime.close()


@asynccontextmanager
async def hosted_tasks() -> AsyncIterator[TaskGroup]:
    """A task group in a task of its own: fixtures begin and end in different tasks."""
    ready: asyncio.Future[TaskGroup] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def host() -> None:
        async with anyio.create_task_group() as tasks:
            ready.set_result(tasks)
            await over.wait()
            tasks.cancel_scope.cancel()

    hosting = asyncio.create_task(host())
    try:
        yield await ready
    finally:
        over.set()
        await hosting
