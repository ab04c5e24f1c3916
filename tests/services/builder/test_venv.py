"""Images of the process runtime: real virtual environments."""

import asyncio
import hashlib
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from squall import Secret
from squall.image import Image
from squall_builder.built import BuildError
from squall_builder.settings import Settings
from squall_builder.venv import VenvRuntime
from squall_contracts import images

from .conftest import Client
from .recipes import context_file

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def venvs(tmp_path: Path) -> VenvRuntime:
    return VenvRuntime(Settings(runtime="process", state_dir=str(tmp_path / "state")))


def base() -> Image:
    return Image.debian_slim()


def output(reference: str, code: str) -> str:
    python = str(Path(reference) / "bin" / "python")
    return subprocess.run(
        [python, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout


async def test_an_image_without_steps_is_there_at_once(venvs: VenvRuntime, client: Client) -> None:
    order = client.order(base())
    assert await venvs.find(order) is None
    built = await venvs.build(order, client.fetch, client.say)
    assert [step for _, step, _ in client.said] == [0]  # 0.03 s on an idle machine
    assert built.python_version == OURS
    assert output(built.reference, "import sys; print(sys.prefix)") == f"{built.reference}\n"
    assert await venvs.find(order) == built


async def test_packages_files_variables_and_functions_come_together(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f.txt").write_text("here")
    image = (
        base()
        .uv_pip_install("six")
        .env({"WORD": "ab"})
        .run_function(leave_a_mark, kwargs={"times": 2}, include_source=False)
        .add_local_dir(tmp_path / "d", "/root/d", copy=True)
        .workdir("/root/d")
    )
    built = await venvs.build(client.order(image), client.fetch, client.say)
    assert output(built.reference, "import six; print(six.__name__)") == "six\n"
    laid = Path(built.reference) / "squall-files" / "root"
    assert (laid / "mark").read_text() == "abab six"
    assert (laid / "d" / "f.txt").read_text() == "here"
    assert (built.env, built.workdir) == ({"WORD": "ab"}, "/root/d")
    assert ("uv_pip_install('six')", 1, 5) in client.said
    assert not (Path(built.reference) / "squall-build").exists()


def leave_a_mark(times: int) -> None:
    import os

    import six  # type: ignore[import-untyped]

    Path("mark").write_text(f"{os.environ['WORD'] * times} {six.__name__}")


async def test_secrets_are_in_their_step_and_in_no_file_of_the_image(
    venvs: VenvRuntime, client: Client
) -> None:
    hidden = [Secret.from_dict({"TOKEN": "s3cret-in-a-step"})]
    image = (
        base()
        .pip_install("six", secrets=hidden)
        .run_function(leave_a_digest, include_source=False, secrets=hidden)
        .run_function(look_for_it, include_source=False)
    )
    values = {number: {"TOKEN": "s3cret-in-a-step"} for number in (1, 2)}
    built = await venvs.build(client.order(image), client.fetch, client.say, values)
    laid = Path(built.reference) / "squall-files" / "root"
    assert (laid / "digest").read_text() == hashlib.sha256(b"s3cret-in-a-step").hexdigest()
    assert (laid / "absent").exists()
    assert not holding(Path(built.reference), b"s3cret-in-a-step")


def holding(folder: Path, needle: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def leave_a_digest() -> None:
    import hashlib
    import os

    Path("digest").write_text(hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest())


def look_for_it() -> None:
    import os

    if "TOKEN" not in os.environ:
        Path("absent").touch()


async def test_a_uv_project_is_synced_beside_what_is_there(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname="p"\nversion="1"\nrequires-python=">=3.11"\ndependencies=["six"]\n'
    )
    image = base().pip_install("idna").uv_sync(tmp_path)
    built = await venvs.build(client.order(image), client.fetch, client.say)
    assert output(built.reference, "import six, idna; print('both')") == "both\n"


async def test_a_failing_step_is_named_and_leaves_nothing(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    order = client.order(base().pip_install("no-such-package-anywhere==0.0.0"))
    with pytest.raises(BuildError, match="no-such-package-anywhere was not found") as caught:
        await venvs.build(order, client.fetch, client.say)
    assert caught.value.failed_step == "pip_install('no-such-package-anywhere==0.0.0')"
    assert "\n" not in caught.value.message
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


async def test_what_needs_docker_is_refused_before_anything_is_made(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    order = client.order(base().pip_install("six").apt_install("jq"))
    with pytest.raises(BuildError, match=r"^apt_install\('jq'\) needs Docker: ") as caught:
        await venvs.build(order, client.fetch, client.say)
    assert caught.value.failed_step == "apt_install('jq')"
    assert not (tmp_path / "state").exists()


async def test_a_file_that_leaves_the_image_is_refused(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    up = images.CopyFiles(files=(context_file("/root/../../outside"),))
    order = client.order(base())
    recipe = msgspec.structs.replace(order.recipe, steps=(up,))
    client.stored[up.files[0].sha256] = b""
    order = msgspec.structs.replace(order, recipe=recipe, image_id=images.image_id(recipe))
    with pytest.raises(BuildError, match="leaves the image"):
        await venvs.build(order, client.fetch, client.say)
    assert not await asyncio.to_thread(lambda: list(tmp_path.rglob("outside")))


async def test_a_python_this_machine_lacks_is_named(venvs: VenvRuntime, client: Client) -> None:
    order = client.order(Image.debian_slim("3.99"))
    with pytest.raises(BuildError, match=r"Python 3\.99 is not on this machine"):
        await venvs.build(order, client.fetch, client.say)


async def test_a_cancelled_build_kills_its_commands_and_leaves_nothing(
    venvs: VenvRuntime, client: Client, tmp_path: Path
) -> None:
    order = client.order(base().run_function(say_and_sleep, include_source=False))
    begun = asyncio.Event()

    async def say(line: str, step: int, steps: int) -> None:
        if line == "begun":
            begun.set()

    building = asyncio.create_task(venvs.build(order, client.fetch, say))
    await asyncio.wait_for(begun.wait(), 30)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


def say_and_sleep() -> None:

    print("begun", flush=True)
    time.sleep(60)


async def test_a_removed_image_is_gone(venvs: VenvRuntime, client: Client) -> None:
    order = client.order(base())
    await venvs.build(order, client.fetch, client.say)
    assert await venvs.remove(order.workspace, order.image_id) > 0
    assert await venvs.find(order) is None
    assert await venvs.remove(order.workspace, order.image_id) == 0
