"""How buckets are mounted, and that a runner that died finds them again."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_contracts.buckets import BucketMount
from squall_runner.buckets import core
from squall_runner.buckets.desk import Buckets
from squall_runner.process import ProcessRuntime
from squall_runner.runtime import StartRefused
from squall_runner.settings import Settings

from tests.system import s3

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a/b+c="}
MOUNT = BucketMount(path="/data", bucket="things", key_prefix="in/", endpoint_url="http://s3:9000")


def read(configured: bytes) -> dict[str, str]:
    head, *lines = configured.decode().splitlines()
    assert head == "[bucket]"
    return dict(line.split(" = ", 1) for line in lines)


def test_keys_are_in_the_configuration_and_in_no_command() -> None:
    lines = read(core.configuration(MOUNT, {**KEYS, "AWS_REGION": "eu-west-1"}))
    assert lines["secret_access_key"] == "a/b+c="
    assert lines["region"] == "eu-west-1"
    assert lines["provider"] == "Other"
    command = core.mounting(MOUNT, "/there/mnt", "/proc/self/fd/9", shared=True)
    assert "bucket:things/in" in command
    assert not any(value in word for word in command for value in KEYS.values())


def test_a_bucket_without_a_secret_has_nobodys_keys() -> None:
    lines = read(core.configuration(BucketMount(path="/data", bucket="open"), {}))
    assert lines["env_auth"] == "false"
    assert lines["provider"] == "AWS"
    assert not {"access_key_id", "secret_access_key", "endpoint"} & lines.keys()


@given(st.text())
def test_no_value_adds_a_line_to_the_configuration(value: str) -> None:
    before = read(core.configuration(MOUNT, KEYS))
    try:
        made = core.configuration(MOUNT, {**KEYS, "AWS_SECRET_ACCESS_KEY": value})
    except core.UnfitError as error:
        assert len(value) < 8 or value not in str(error)
        return
    lines = read(made)
    assert lines.get("secret_access_key", "") == value
    assert lines.keys() <= before.keys()


def test_read_only_and_sharing_are_told() -> None:
    alone = BucketMount(path="/data", bucket="things", read_only=True)
    assert "--read-only" in core.mounting(alone, "/mnt", "/c", shared=False)
    assert "--allow-other" not in core.mounting(alone, "/mnt", "/c", shared=False)


needs_rclone = pytest.mark.skipif(
    shutil.which("rclone") is None or not Path("/dev/fuse").exists(),
    reason="this machine has no rclone, or no /dev/fuse",
)


@pytest.fixture
def store() -> Iterator[s3.Server]:
    with s3.running() as server:
        yield server


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Callable[[], Buckets]]:
    """A runner's, as it is again after a restart each time."""
    settings = Settings(runtime="process", state_dir=str(tmp_path / "runner"))
    runtime = ProcessRuntime(settings, tmp_path / "containers", anyio.create_task_group())
    yield lambda: Buckets(settings, runtime)
    await Buckets(settings, runtime).sweep(())


@needs_rclone
async def test_a_mount_outlives_its_runner_and_the_next_one_takes_it_down(
    runner: Callable[[], Buckets], store: s3.Server
) -> None:
    buckets, later = runner(), runner()
    mount = BucketMount(
        path="/data", bucket="things", endpoint_url=store.endpoint, force_path_style=True
    )
    store.put("kept.txt", b"kept")
    first = await buckets.mount("ct-1", (mount,), {"/data": store.keys})
    second = await buckets.mount("ct-2", (mount,), {"/data": store.keys})
    place = first.binds[0].source
    await later.sweep(["ct-1"])
    assert (place / "kept.txt").read_text() == "kept"
    assert "is no longer mounted" in await second.lost()
    assert not second.binds[0].source.exists()
    await later.adopt("ct-1").discard()
    assert not place.exists()
    assert store.get("kept.txt") == b"kept"


@needs_rclone
async def test_what_is_missing_here_is_named(
    runner: Callable[[], Buckets], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    buckets = runner()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartRefused, match=r"/data needs rclone.*apt-get install rclone fuse3"):
        await buckets.mount("ct-1", (MOUNT,), {})
