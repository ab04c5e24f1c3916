"""S3-compatible buckets as directories of containers, against a server that checks who asks."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import squall
from squall.exception import Error

from tests.system import s3
from tests.system.conftest import Program, Server
from tests.system.test_secrets import everything

pytestmark = pytest.mark.skipif(
    shutil.which("rclone") is None or not Path("/dev/fuse").exists(),
    reason="this machine has no rclone, or no /dev/fuse",
)


@pytest.fixture(scope="module")
def store() -> Iterator[s3.Server]:
    with s3.running() as server:
        yield server


@pytest.fixture
def module(
    program: Program, store: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    squall.Secret.objects.create("bucket-keys", store.keys, overwrite=True)
    monkeypatch.setenv("S3_ENDPOINT", store.endpoint)
    yield program("buckets")
    squall.Secret.objects.delete("bucket-keys", allow_missing=True)


def mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if " - fuse.rclone " in line]


def rclones(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == "rclone" and str(server.state) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def until(true: Callable[[], bool], limit_s: float = 60.0) -> None:
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.05)  # mounts come and go without telling


def test_objects_are_files_and_files_become_objects(
    server: Server, module: ModuleType, store: s3.Server
) -> None:
    store.put("in/a.txt", b"from outside")
    store.put("out.txt", b"not below the prefix")
    act = module.act.remote
    assert act("read", "/data/a.txt") == "from outside"
    assert "out.txt" not in act("names", "/data")
    assert "out.txt" in act("names", "/mnt/all")
    assert act("write", "/data/deep/ä b.txt", "it is") == "written"
    assert store.get("in/deep/ä b.txt") == b"it is"
    assert act("write", "/mnt/all/new.txt") == "Read-only file system"
    act("write large", "/data/large")
    assert store.get("in/large")[-(2**20) - 1 :] == bytes([38]) + bytes([39]) * 2**20
    assert act("variables") == []
    assert rclones(server)
    secret = store.keys["AWS_SECRET_ACCESS_KEY"].encode()
    assert not [place for place, content in everything(server) if secret in content]


def test_a_bucket_that_cant_be_had_says_so(module: ModuleType) -> None:
    with pytest.raises(Error, match=r"bucket missing can't be read: .*not found"):
        module.in_a_missing_bucket.remote()
    with pytest.raises(Error, match=r"bucket things can't be read: .*InvalidAccessKeyId") as caught:
        module.with_wrong_keys.remote()
    assert "AKIAWRONG" not in str(caught.value)


def test_a_container_whose_mount_died_is_replaced_and_nothing_stays_mounted(
    server: Server, module: ModuleType, store: s3.Server
) -> None:
    store.put("in/a.txt", b"there")
    assert module.act.remote("read", "/data/a.txt") == "there"
    for process in rclones(server):
        os.kill(process.pid, signal.SIGKILL)
    until(lambda: not any(str(server.state) in place for place in mounts()))
    assert module.act.remote("read", "/data/a.txt") == "there"
    until(lambda: not rclones(server) and not any(str(server.state) in p for p in mounts()))
