"""A container that fills the disk outside its volumes is ended, and whoever called it is told why."""

from collections.abc import Iterator
from types import ModuleType

import pytest
import squall
from squall.exception import InvalidError, RemoteError, SandboxTerminatedError

from tests.system.conftest import Server, connected_to, docker_engine, load

LIMIT_MIB = 32


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The program on a server that looks often and gives an input up with its second container."""
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    settings = {"SQUALL_RUNNER_DISK_CHECK_S": "0.2", "SQUALL_SCHEDULER_MAX_DEATHS": "2"}
    running = Server("docker", tmp_path_factory.mktemp("disks") / "state", **settings)
    running.start("--ephemeral")
    try:
        with connected_to(running.ready["url"], running.ready["credentials"], "docker"):
            module = load("disks")
            with module.app.run():
                yield module
    finally:
        running.stop()


@pytest.mark.docker
def test_who_fills_the_disk_is_ended_and_the_caller_told_why_and_no_other(
    disks: ModuleType,
) -> None:
    """Between the ends of two containers all have been looked at."""
    within = disks.within.spawn(60)
    assert disks.queue.get(timeout=60, partition="said") == "filled"
    why = r"it wrote \d+ MiB of files outside volumes, ephemeral_disk allows 32 MiB; 2 containers"
    with pytest.raises(RemoteError, match=why):
        disks.beyond.remote(60)
    disks.queue.put("done", partition="told")
    assert within.get(timeout=60) == "done"


@pytest.mark.docker
def test_sandbox_that_fills_the_disk_is_ended_and_says_why(disks: ModuleType) -> None:
    sandbox = squall.Sandbox.create(app=disks.app, ephemeral_disk=LIMIT_MIB)
    sandbox.exec("dd", "if=/dev/zero", "of=/tmp/big", "bs=1M", "count=60")
    with pytest.raises(SandboxTerminatedError, match="ephemeral_disk allows 32 MiB"):
        sandbox.wait()
    assert sandbox.returncode == 137


@pytest.mark.docker
def test_what_a_sandbox_changes_in_a_mounted_image_counts(disks: ModuleType) -> None:
    sandbox = squall.Sandbox.create(app=disks.app, ephemeral_disk=LIMIT_MIB)
    sandbox.filesystem.write_text("kept", "/kept/note")
    sandbox.mount_image("/data", sandbox.snapshot_directory("/kept"))
    sandbox.exec("dd", "if=/dev/zero", "of=/data/big", "bs=1M", "count=60")
    with pytest.raises(SandboxTerminatedError, match="ephemeral_disk allows 32 MiB"):
        sandbox.wait()


@pytest.mark.docker
def test_sandbox_says_which_parameter_is_wrong(disks: ModuleType) -> None:
    with pytest.raises(InvalidError, match="ephemeral_disk must be at least 1"):
        squall.Sandbox.create(app=disks.app, ephemeral_disk=0)
