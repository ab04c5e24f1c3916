"""Directories kept as images, and images mounted in running sandboxes."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
import squall
from squall.exception import (
    InvalidError,
    NotFoundError,
    SandboxFilesystemNotADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxTerminatedError,
)

from .conftest import Server, connected_to, docker_engine


@pytest.fixture
def docker(servers: Callable[[str], Server]) -> Iterator[squall.App]:
    """An app on the docker runtime."""
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    server = servers("docker")
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        yield squall.App.lookup("mounts", create_if_missing=True)


def said(sandbox: squall.Sandbox, script: str) -> str:
    process = sandbox.exec("sh", "-c", script)
    text = process.stdout.read()
    assert process.wait() == 0, process.stderr.read()
    return str(text)


@pytest.mark.docker
def test_directory_of_one_sandbox_is_shown_in_another_until_it_is_unmounted(
    docker: squall.App,
) -> None:
    first, second = (squall.Sandbox.create(app=docker) for _ in range(2))
    first.filesystem.write_text("kept", "/kept/deep/note")
    said(
        first,
        "cd /kept; chmod 640 deep/note; ln deep/note twin; ln -s deep/note link; mkfifo pipe;"
        " chown -R 7:8 deep",
    )
    image = first.snapshot_directory("/kept/")
    first.filesystem.write_text("later", "/kept/deep/note")

    second.filesystem.write_text("before", "/data/own")
    second.mount_image("/data", image)
    shown = said(second, "cd /data; ls -A; cat link; stat -c '%a %u %g %h' deep/note")
    assert shown.split() == ["deep", "link", "twin", "kept640", "7", "8", "2"]
    assert second.filesystem.read_text("/data/deep/note") == "kept"
    second.filesystem.write_text("changed", "/data/deep/note")
    said(second, "cd /data; rm twin; echo more > more")
    again = second.snapshot_directory("/data")
    second.unmount_image("/data")
    assert said(second, "ls -A /data; cat /data/own") == "own\nbefore"

    first.mount_image("/made/here", image)
    assert said(first, "cat /made/here/deep/note") == "kept"
    first.mount_image("/made/here", again)
    assert said(first, "cd /made/here; ls; cat deep/note").split() == [
        "deep",
        "link",
        "more",
        "changed",
    ]
    first.unmount_image("/made/here")
    assert said(first, "ls -A /made/here") == ""
    for each in (first, second):
        each.terminate(wait=True)


@pytest.mark.docker
def test_what_can_not_be_mounted_is_refused_and_nothing_is_left_of_mounts(
    docker: squall.App,
) -> None:
    sandbox = squall.Sandbox.create(app=docker)
    said(sandbox, "mkdir /d; touch /file; ln -s /proc /root/p; ln -s /etc/../.. /root/top")
    image = sandbox.snapshot_directory("/d")
    for place in ("/", "/proc", "/dev/shm", "/squall/out", "/root/p/sys", "/root/top", "/d/.."):
        with pytest.raises(InvalidError, match="nothing is mounted at"):
            sandbox.mount_image(place, image)
    with pytest.raises(InvalidError, match="no image is mounted"):
        sandbox.unmount_image("/d")
    with pytest.raises(SandboxFilesystemNotADirectoryError):
        sandbox.mount_image("/file", image)
    with pytest.raises(SandboxFilesystemNotFoundError):
        sandbox.unmount_image("/nosuch")
    with pytest.raises(NotFoundError, match="/nosuch"):
        sandbox.snapshot_directory("/nosuch")
    with pytest.raises(InvalidError, match="/file"):
        sandbox.snapshot_directory("/file")
    with pytest.raises(InvalidError, match="absolute"):
        sandbox.mount_image("d", image)
    with pytest.raises(squall.exception.ImageBuildError, match="mount_image"):
        image.run_commands("true").build(docker)
    started = squall.Sandbox.create("true", image=image, app=docker)
    with pytest.raises(SandboxTerminatedError, match="mount_image"):
        started.wait()
    whole = squall.Image.debian_slim()
    sandbox.mount_image("/whole", whole)
    assert said(
        sandbox, "ls -A /whole | grep squall; chroot /whole true; ls /whole/etc/debian_version"
    )
    holders = ["docker", "ps", "-q", "--filter", "label=squall.mounted.at=/whole"]
    held = subprocess.run(holders, capture_output=True, text=True, timeout=30, check=True)
    assert len(held.stdout.split()) == 1
    sandbox.terminate(wait=True)
    # Returns once it is gone, or gives up.
    ended = ["docker", "wait", held.stdout.strip()]
    subprocess.run(ended, capture_output=True, timeout=60, check=False)


def test_plain_processes_have_neither(servers: Callable[[str], Server]) -> None:
    server = servers("process")
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        app = squall.App.lookup("mounts", create_if_missing=True)
        sandbox = squall.Sandbox.create(app=app)
        sandbox.filesystem.make_directory("/d")
        with pytest.raises(InvalidError, match="need Docker"):
            sandbox.snapshot_directory("/d")
        with pytest.raises(InvalidError, match="with Docker only"):
            sandbox.mount_image("/d", squall.Image.debian_slim())
        with pytest.raises(InvalidError, match="with Docker only"):
            sandbox.unmount_image("/d")
        sandbox.terminate()
