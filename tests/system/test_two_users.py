"""Scenario 8 (d): two users of one slot, each with a quota of five containers."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from squall import _client
from squall._sync import run
from squall_bus.access.accounts import write_credentials
from squall_bus.access.keyring import Keyring
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ENDED, ContainerRecord

from tests.system.conftest import PROGRAMS, Server, connected_to, docker_engine

CALLER = """
import json, sys, importlib.util
spec = importlib.util.spec_from_file_location("scaling", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["scaling"] = module
spec.loader.exec_module(module)
function = getattr(module, sys.argv[2])
with module.app.run():
    calls = [function.spawn(float(n % 1)) for n in range(int(sys.argv[3]))]
    print("queued", flush=True)
    for call in calls:
        print(json.dumps(call.get()), flush=True)
"""


def quota(server: Server, workspace: str, containers: int) -> None:
    command = [sys.executable, "-m", "squall_gateway.quota", workspace]
    keys = ["--keys", str(server.state / "keys"), "--server", server.ready["url"]]
    asked = [*command, *keys, "--containers", str(containers)]
    subprocess.run(asked, check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def shared(runtime: str, state: Path, cores: str) -> Iterator[Server]:
    """A server of so many cores and two workspaces, `main` and `other`, each with a quota of five
    containers: by default the one, of its own the other."""
    keys = Keyring(state / "keys")
    keys.workspace("main")
    keys.workspace("other")
    write_credentials(state / "other.creds", keys.client("other"))
    running = Server(runtime, state)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SQUALL_RUNNER_CPU", cores)
        patched.setenv("SQUALL_SCHEDULER_QUOTA_CONTAINERS", "5")
        running.start()
    try:
        quota(running, "other", 5)
        yield running
    finally:
        running.stop()


@contextlib.contextmanager
def caller(
    server: Server, credentials: str, function: str, count: int
) -> Iterator["subprocess.Popen[str]"]:
    """A user who has queued `count` calls when this is entered, and gives up when it is left."""
    environment = {
        **os.environ,
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": credentials,
    }
    command = [sys.executable, "-c", CALLER, str(PROGRAMS / "scaling.py"), function, str(count)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "queued\n"
        yield process
        process.terminate()


def test_a_long_queue_of_one_workspace_does_not_keep_another_waiting(tmp_path: Path) -> None:
    runtime = "docker" if docker_engine() is not None else "process"
    with shared(runtime, tmp_path, "1") as server:
        mine, other = server.ready["credentials"], str(server.state / "other.creds")
        with caller(server, mine, "one_at_a_time", 100) as many:
            assert many.stdout is not None
            first_at = json.loads(many.stdout.readline())
            with caller(server, other, "one_at_a_time", 1) as one:
                assert one.stdout is not None
                done_at = json.loads(one.stdout.readline())
            before = 0
            while json.loads(many.stdout.readline()) < done_at:
                before += 1
    assert before <= 10, f"{before} of the other's calls went first"
    assert done_at - first_at < 30


def test_neither_of_two_users_exceeds_its_quota(tmp_path: Path) -> None:
    runtime = "docker" if docker_engine() is not None else "process"
    with shared(runtime, tmp_path, "16") as server:
        mine, other = server.ready["credentials"], str(server.state / "other.creds")
        seen: list[tuple[ContainerRecord, ...]] = []
        with (
            caller(server, mine, "wide_naps", 15) as one,
            caller(server, other, "wide_naps", 15),
            connected_to(server.ready["url"], mine, runtime),
        ):
            while one.poll() is None:
                seen.append(run(listed()))
                time.sleep(0.1)
    live = [[r for r in now if r.state not in {*ENDED, "requested"}] for now in seen]
    assert max(map(len, live)) == 5
    waits = {record.waits_for for now in seen for record in now}
    assert "the quota of its workspace is 5 containers, 5 in use" in waits


async def listed() -> tuple[ContainerRecord, ...]:
    return (await (await _client.connected()).control(ListContainers())).containers
