"""Images mounted in containers, across restarts of the runner."""

import asyncio
import io
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiodocker import Docker
from squall_contracts.message import new_id
from squall_runner import docker_mounts
from squall_runner.container_files.packing import INSIDE, pack
from squall_runner.container_files.root import Owner, Root
from squall_runner.runtime import StartRefused
from squall_runner.settings import Settings

from .conftest import Bench, hosted_tasks, open_docker, opened_bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened_bench("docker", tmp_path) as made:
        yield made


async def holders(runner_id: str) -> int:
    async with Docker() as docker:
        labels = f'{{"label": ["squall.runner={runner_id}", "squall.sandbox=holder"]}}'
        return len(await docker.containers.list(all=1, filters=labels))


@pytest.mark.docker
async def test_runner_that_restarts_still_knows_what_is_mounted(
    bench: Bench, tmp_path: Path
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "note").write_text("kept")
    top, archive = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY), io.BytesIO()
    own = Root(top, Owner(0, 0))
    pack(own, "/kept", archive, lambda: True)
    own.close()
    archive.seek(0)
    reference = f"squall-test:{new_id('im')}"
    await bench.runtime.keep(reference, archive)
    handle, slot = await bench.start("import time; time.sleep(600)")
    root = await bench.runtime.root(handle, slot.directory)

    async def at() -> int:
        return root.make_directories("/there")

    try:
        await bench.runtime.mount(handle, at, reference, f"/{INSIDE}")
        os.close(root.find("/there/note"))
        async with hosted_tasks() as tasks:
            settings = Settings(state_dir=str(tmp_path), network="squall-test", sandboxes=0)
            again = await open_docker(settings, bench.runner_id, tasks)
            assert handle in [found.handle for found in await again.found()]
            os.close(root.find("/there/note"))
            await again.unmount(handle, at)
            with pytest.raises(FileNotFoundError):
                root.find("/there/note")
            assert await holders(bench.runner_id) == 0
            with pytest.raises(StartRefused, match="no image is mounted"):
                await again.unmount(handle, at)
            await again.mount(handle, at, reference, f"/{INSIDE}")
            await again.remove(handle)
            assert await holders(bench.runner_id) == 0
            await again.close()
    finally:
        root.close()
        await bench.runtime.forget_image(reference)


async def test_a_holder_has_begun_once_it_runs_its_program(tmp_path: Path) -> None:
    """Until then its program must stay where it is."""
    sleeper = tmp_path / docker_mounts.SLEEPER
    shutil.copy("/bin/sleep", sleeper)
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", 'read _; exec "$0" 600', sleeper, stdin=asyncio.subprocess.PIPE
    )
    beginning = asyncio.create_task(docker_mounts._begun(process.pid))
    await asyncio.wait([beginning], timeout=0.1)
    assert not beginning.done()
    assert process.stdin is not None
    process.stdin.write(b"\n")
    await beginning
    process.kill()
    await process.wait()
    with pytest.raises(StartRefused, match="did not begin"):
        await docker_mounts._begun(process.pid)
