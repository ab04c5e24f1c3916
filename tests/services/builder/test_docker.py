"""Images built by a real Docker engine."""

import asyncio
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiodocker
import pytest
from squall import Secret
from squall.image import Image
from squall_builder.built import BuildError
from squall_builder.docker import DockerRuntime
from squall_builder.settings import Settings
from squall_contracts.images import docker_tag
from squall_guard.owner import start_ticks

from .conftest import Client

pytestmark = pytest.mark.docker


@pytest.fixture
async def docker(tmp_path: Path, client: Client) -> AsyncIterator[DockerRuntime]:
    """A runtime whose images, all of an account of their own, are removed at the end."""
    client.account = f"TEST{secrets.token_hex(4)}"
    runtime = DockerRuntime(Settings(runtime="docker", state_dir=str(tmp_path)))
    yield runtime
    await runtime.close()
    async with aiodocker.Docker() as engine:
        for found in await engine.images.list(
            filters={"label": [f"squall.workspace={client.account}"]}
        ):
            await engine.images.delete(found["Id"], force=True)


def output(reference: str, *command: str) -> str:
    done = subprocess.run(
        ["docker", "run", "--rm", reference, *command],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def base() -> Image:
    return Image.debian_slim("3.11")


async def test_a_package_is_installed_and_its_log_is_live(
    docker: DockerRuntime, client: Client
) -> None:
    never_cached = {"NONCE": client.account}
    order = client.order(base().env(never_cached).pip_install("six"))
    built = await docker.build(order, client.fetch, client.say)
    assert output(built.reference, "python", "-c", "import six; print(six.__name__)") == "six\n"
    assert built.python_version == "3.11"
    assert built.size_bytes > 10_000_000
    assert client.said[0] == ("debian_slim('3.11')", 0, 2)
    assert ("pip_install('six')", 2, 2) in client.said
    assert "Successfully installed six" in client.text
    assert await docker.find(order) == built


async def test_a_failing_step_is_named_with_its_cause(
    docker: DockerRuntime, client: Client
) -> None:
    order = client.order(base().env({"A": "1"}).pip_install("no-such-package-anywhere==0.0.0"))
    with pytest.raises(BuildError) as caught:
        await docker.build(order, client.fetch, client.say)
    assert caught.value.failed_step == "pip_install('no-such-package-anywhere==0.0.0')"
    assert "exit code 1: ERROR: No matching distribution" in caught.value.message
    assert "\n" not in caught.value.message
    assert await docker.find(order) is None


async def test_variables_files_and_the_working_directory_are_as_given(
    docker: DockerRuntime, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in a [folder]").mkdir()
    (tmp_path / "data" / "in a [folder]" / "run.sh").write_text("echo $HARD\n")
    (tmp_path / "data" / "in a [folder]" / "run.sh").chmod(0o755)
    hard = 'it\'s $HOME \\n "q" #x\\'
    image = (
        base()
        .env({"HARD": hard})
        .workdir("/some $where")
        .add_local_dir(tmp_path / "data", "/", copy=True)
        .add_local_file(tmp_path / "data" / "in a [folder]" / "run.sh", "/tmp/", copy=True)
        .run_commands("echo one\necho two > /root/out", env={"ONLY": "here"})
    )
    built = await docker.build(client.order(image), client.fetch, client.say)
    assert output(built.reference, "printenv", "HARD") == f"{hard}\n"
    assert output(built.reference, "pwd") == "/some $where\n"
    assert output(built.reference, "sh", "-c", "cat '/in a [folder]/run.sh' /tmp/run.sh") == (
        "echo $HARD\necho $HARD\n"
    )
    assert output(built.reference, "stat", "-c", "%a", "/tmp", "/tmp/run.sh") == "1777\n755\n"
    assert output(built.reference, "sh", "-c", "cat /root/out; echo $ONLY") == "two\n\n"
    assert built.workdir == "/some $where"
    assert built.env == {"HARD": hard}


async def test_nothing_of_the_network_stays_in_the_variables(
    tmp_path: Path, docker: DockerRuntime, client: Client
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("a certificate")
    runtime = DockerRuntime(
        Settings(
            state_dir=str(tmp_path),
            ca_bundle=str(bundle),
            https_proxy="http://proxy:1",
            index_url="http://index/simple",
        )
    )
    order = client.order(base().run_commands("env; cat $PIP_CERT"))
    built = await runtime.build(order, client.fetch, client.say)
    await runtime.close()
    assert "a certificate" in client.text
    for line in ("PIP_INDEX_URL=http://index/simple", "HTTPS_PROXY=http://proxy:1"):
        assert line in client.text
    assert not any(word in output(built.reference, "env") for word in ("ca.pem", "proxy", "index"))


def leave_a_mark(word: str, *, times: int) -> None:
    import six  # type: ignore[import-untyped]

    Path("/root/mark").write_text(f"{word * times} {six.__name__}")


async def test_a_function_leaves_what_it_wrote_and_nothing_of_squall(
    docker: DockerRuntime, client: Client
) -> None:
    image = (
        base()
        .pip_install("six")
        .run_function(leave_a_mark, args=("ab",), kwargs={"times": 2}, include_source=False)
    )
    built = await docker.build(client.order(image), client.fetch, client.say)
    assert output(built.reference, "cat", "/root/mark") == "abab six"
    assert (
        output(built.reference, "sh", "-c", "ls /root; ls /.squall | grep -v ca.pem; true")
        == "mark\n"
    )


def fall_asleep() -> None:
    import time

    time.sleep(60)


async def test_a_function_that_takes_too_long_fails_its_build(
    docker: DockerRuntime, client: Client
) -> None:
    order = client.order(base().run_function(fall_asleep, timeout=1, include_source=False))
    with pytest.raises(BuildError, match=r"run_function.*longer than its timeout of 1 s"):
        await docker.build(order, client.fetch, client.say)


async def test_a_dockerfile_is_built_with_the_files_it_copies(
    docker: DockerRuntime, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "used.txt").write_text("used")
    (tmp_path / "unused.txt").write_text("unused")
    (tmp_path / "Dockerfile").write_text(
        "FROM squall-base:bookworm-py3.11 AS first\nRUN echo made > /made\n"
        "FROM squall-base:bookworm-py3.11\nARG WHO\nCOPY --from=first /made /made\n"
        "COPY used.txt \\\n  /copied\nRUN echo $WHO > /who\n"
    )
    image = Image.from_dockerfile(
        tmp_path / "Dockerfile", context_dir=tmp_path, build_args={"WHO": "me"}
    )
    order = client.order(image.dockerfile_commands("RUN echo more > /more"))
    assert len(client.stored) == 1
    built = await docker.build(order, client.fetch, client.say)
    assert output(built.reference, "cat", "/made", "/copied", "/who", "/more") == (
        "made\nusedme\nmore\n"
    )
    assert built.python_version == "3.11"


SECRET = "s3cret-" + secrets.token_hex(8)
TWO_LINES = f"first '{SECRET}\nsecond $HOME {SECRET}"


def engine_says(*words: str) -> bytes:
    done = subprocess.run(["docker", *words], capture_output=True, check=True, timeout=120)
    return done.stdout


def everything_of(reference: str) -> bytes:
    """What the engine tells of an image and its history, and its layers."""
    told = [("history", "--no-trunc", reference), ("inspect", reference), ("save", reference)]
    return b"".join(engine_says(*words) for words in told)


async def test_secrets_are_in_their_steps_and_in_nothing_that_is_kept(
    docker: DockerRuntime, client: Client
) -> None:
    hidden = [Secret.from_dict({"TOKEN": SECRET, "TEXT": TWO_LINES, "SAME": "theirs"})]
    image = (
        base()
        .workdir("/srv")
        .cmd(["sleep", "1"])
        .run_commands(
            'test "$SAME" = ours && printf %s "$TEXT" | wc -l > lines',
            "printf %s $TOKEN | sha256sum > digest; cat /dev/stdin",
            env={"SAME": "ours"},
            secrets=hidden,
        )
        .run_commands('echo "after [$TOKEN]" > after')
        .run_function(leave_a_digest, include_source=False, secrets=hidden)
    )
    order = client.order(image)
    values = {number: {"TOKEN": SECRET, "TEXT": TWO_LINES, "SAME": "theirs"} for number in (3, 5)}
    built = await docker.build(order, client.fetch, client.say, values)
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    seen = output(built.reference, "sh", "-c", "cat lines digest after /root/digest; ls /.squall")
    assert seen.startswith(f"1\n{digest}  -\nafter []\n{digest}")
    assert "step" not in seen
    assert SECRET.encode() not in everything_of(built.reference)
    assert SECRET not in client.text + repr(order)
    inspected = json.loads(engine_says("inspect", built.reference))[0]
    assert inspected["Config"]["Cmd"] == ["sleep", "1"]
    assert not inspected["Config"]["Entrypoint"]
    assert inspected["Config"]["WorkingDir"] == "/srv"
    assert not inspected["Config"].get("OpenStdin")


def leave_a_digest() -> None:
    import hashlib
    import os

    digest = hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest()
    Path("/root/digest").write_text(digest)


async def test_a_step_with_secrets_is_done_once_whatever_follows_it(
    docker: DockerRuntime, client: Client
) -> None:
    hidden = [Secret.from_dict({"TOKEN": SECRET})]
    begun = base().run_commands("date +%s%N > /when", secrets=hidden)
    values = {number: {"TOKEN": SECRET} for number in (1, 2)}

    async def when(image: Image) -> str:
        built = await docker.build(client.order(image), client.fetch, client.say, values)
        return output(built.reference, "cat", "/when")

    first = await when(begun)
    assert await when(begun.run_commands("true")) == first
    assert await when(begun.run_commands("true", secrets=hidden)) == first
    assert await when(base().run_commands("date +%s%N > /when ", secrets=hidden)) != first
    assert (
        await when(base().run_commands("date +%s%N > /when", secrets=hidden, force_build=True))
        != first
    )


async def test_a_failing_step_with_secrets_leaves_no_container(
    docker: DockerRuntime, client: Client
) -> None:
    hidden = [Secret.from_dict({"TOKEN": SECRET})]
    order = client.order(base().run_commands("echo why >&2; exit 3", secrets=hidden))
    with pytest.raises(BuildError, match=r"run_commands.*failed with exit code 3: why"):
        await docker.build(order, client.fetch, client.say, {1: {"TOKEN": SECRET}})
    async with aiodocker.Docker() as engine:
        wanted = {"label": [f"squall.build={order.image_id}"]}
        assert not await engine.containers.list(all=True, filters=wanted)


async def test_stages_before_a_step_with_secrets_are_no_names_after_it(
    docker: DockerRuntime, client: Client
) -> None:
    """Where the stage is not known the engine would take its name for an image's, or its id."""
    image = (
        base()
        .dockerfile_commands("FROM squall-base:bookworm-py3.11 AS deadbeef0123")
        .run_commands("true", secrets=[Secret.from_dict({"TOKEN": SECRET})])
        .dockerfile_commands("COPY --from=deadbeef0123 /etc/hostname /x")
    )
    with pytest.raises(BuildError, match="'deadbeef0123' reads as an id"):
        await docker.build(client.order(image), client.fetch, client.say, {2: {"TOKEN": SECRET}})


async def test_a_base_nobody_can_reach_names_the_way_out(tmp_path: Path, client: Client) -> None:
    runtime = DockerRuntime(
        Settings(state_dir=str(tmp_path), base_image="registry.invalid/python:{python}")
    )
    with pytest.raises(BuildError, match="squall image bootstrap"):
        await runtime.build(client.order(base()), client.fetch, client.say)
    await runtime.close()


async def test_a_removed_image_is_gone_and_removing_it_again_does_nothing(
    docker: DockerRuntime, client: Client
) -> None:
    order = client.order(base().run_commands("echo of its own > /x"))
    await docker.build(order, client.fetch, client.say)
    assert await docker.remove(order.workspace, order.image_id) > 0
    assert await docker.find(order) is None
    assert await docker.remove(order.workspace, order.image_id) == 0


async def test_a_cancelled_build_ends_and_can_be_built_again(
    docker: DockerRuntime, client: Client
) -> None:
    order = client.order(base().run_commands("echo begun; sleep 2; echo ended"))
    begun = asyncio.Event()

    async def say(line: str, step: int, steps: int) -> None:
        if line == "begun":
            begun.set()

    building = asyncio.create_task(docker.build(order, client.fetch, say))
    await asyncio.wait_for(begun.wait(), 60)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert await docker.find(order) is None
    built = await docker.build(order, client.fetch, client.say)
    assert built.reference == docker_tag(order.workspace, order.image_id)


async def test_no_engine_says_what_to_do(tmp_path: Path, client: Client) -> None:
    runtime = DockerRuntime(
        Settings(state_dir=str(tmp_path), docker_url=f"unix://{tmp_path}/nothing.sock")
    )
    with pytest.raises(BuildError, match="is the engine running"):
        await runtime.build(client.order(base()), client.fetch, client.say)
    await runtime.close()


def own_address() -> str:
    """One of this machine's, as others reach it."""
    shown = subprocess.run(
        ["ip", "-j", "-4", "addr", "show", "scope", "global"], capture_output=True, check=True
    )
    return str(json.loads(shown.stdout)[0]["addr_info"][0]["local"])


TRIES = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3)
    except OSError as error:
        print("tried", place, type(error).__name__)
    else:
        print("tried", place, "connected")
"""
needs_guard = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("nsenter", "iptables-restore", "ip"))),
    reason="the guard takes root and iptables",
)


@needs_guard
async def test_build_steps_reach_neither_the_machine_nor_its_metadata(
    docker: DockerRuntime, client: Client
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        places = (f"{own_address()}:{listener.getsockname()[1]}", "169.254.169.254:80")
        never_cached = {"NONCE": client.account}
        command = f"python -c '{TRIES}' {' '.join(places)}"
        order = client.order(base().env(never_cached).run_commands(command))
        await docker.build(order, client.fetch, client.say)
    said = [line for line, _, _ in client.said if line.startswith("tried")]
    assert said == [f"tried {place} ConnectionRefusedError" for place in places]


@needs_guard
async def test_build_leaves_no_namespace_behind(docker: DockerRuntime, client: Client) -> None:
    order = client.order(base().env({"NONCE": client.account}).run_commands("exit 3"))
    with pytest.raises(BuildError):
        await docker.build(order, client.fetch, client.say)
    async with aiodocker.Docker() as engine:
        mine = [
            each
            for each in await engine.containers.list(filters={"label": ["squall.runner=builder"]})
            if each["Labels"]["squall.owner"].endswith(f":{start_ticks(os.getpid())}")
        ]
    assert mine == []


async def test_images_of_others_are_no_base(docker: DockerRuntime, client: Client) -> None:
    theirs = client.order(base().run_commands("echo theirs > /theirs"))
    built = await docker.build(theirs, client.fetch, client.say)
    client.account = f"TEST{secrets.token_hex(4)}"
    order = client.order(Image.from_registry(built.reference))
    with pytest.raises(BuildError, match="start from its recipe"):
        await docker.build(order, client.fetch, client.say)
