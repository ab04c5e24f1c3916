"""Run after run leaves nothing behind: no container, process, stream, consumer or file."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from squall_bus.access.accounts import new_key, owner_of, user_jwt
from squall_bus.access.keyring import Keyring
from squall_bus.connection import connect
from squall_contracts import subjects
from squall_contracts.guest import Credentials

from tests.system.conftest import Server, docker_engine

HELLO = Path(__file__).parents[2] / "examples" / "01_hello.py"
RUNS = int(os.environ.get("SQUALL_RUNS", "15"))
"""200 for the record; fewer in the everyday suite."""
SETTLES_WITHIN_S = 60


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that outlives the runs, without containers kept warm."""
    if request.param == "docker" and docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    server = Server(request.param, tmp_path)
    os.environ["SQUALL_RUNNER_WARM_POOL"] = "0"
    os.environ["SQUALL_RUNNER_SANDBOXES"] = "0"
    try:
        server.start("--ephemeral")
        yield server
    finally:
        del os.environ["SQUALL_RUNNER_WARM_POOL"], os.environ["SQUALL_RUNNER_SANDBOXES"]
        server.stop()


def run_hello(server: Server) -> None:
    environment = {
        **os.environ,
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    done = subprocess.run(
        [sys.executable, "-m", "squall.cli", "run", str(HELLO)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Hello, world!" in done.stdout


def containers(server: Server) -> list[str]:
    """Names of the server's Docker containers."""
    if server.runtime != "docker":
        return []
    runner_id = (Path(server.ready["state"]) / "runner" / "runner_id").read_text().strip()
    label = f"label=squall.runner={runner_id}"
    command = ["docker", "ps", "-a", "--filter", label, "--format", "{{.Names}}"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(listed.stdout.split())


def everything_in_workspace(server: Server) -> Credentials:
    """A user who may see all of the workspace, made with the server's own keys."""
    key = new_key("user")
    jwt = user_jwt(
        Keyring(server.state / "keys").workspace("main"), key.public, "leftovers",
        publish=[">"], subscribe=[">", f"{subjects.inbox(key.public)}.>"],
    )  # fmt: skip
    return Credentials(jwt=jwt, seed=key.seed)


async def bus_assets(server: Server) -> dict[str, object]:
    """Streams of the workspace with their consumers, and what waits in CALLS."""
    credentials = everything_in_workspace(server)
    bus = await connect(
        [server.ready["url"]],
        credentials,
        name="leftovers",
        inbox=subjects.inbox(owner_of(credentials.jwt)),
    )
    try:
        reply = await bus.call("$JS.API.STREAM.LIST", b"{}")
        streams = json.loads(reply.data)["streams"]
        return {
            **{s["config"]["name"]: s["state"]["consumer_count"] for s in streams},
            "waiting": next(
                s["state"]["messages"] for s in streams if s["config"]["name"] == subjects.CALLS
            ),
        }
    finally:
        await bus.close()


def left(server: Server, zygotes: int = 0) -> dict[str, object]:
    """What there is, but for so many zygotes."""
    state = Path(server.ready["state"])
    return {
        "bus": asyncio.run(bus_assets(server)),
        "containers": containers(server),
        "processes": len(server.family()) - zygotes,
        "directories": sorted(p.name for p in (state / "runner" / "containers").glob("*")),
        "files": sorted(str(p.relative_to(state)) for p in state.glob("*")),
    }


def settled(look: Callable[[], dict[str, object]], wanted: dict[str, object]) -> dict[str, object]:
    """What `look` sees once it equals `wanted`, or after SETTLES_WITHIN_S."""
    deadline = time.monotonic() + SETTLES_WITHIN_S
    while (seen := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.25)
    return seen


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_leave_nothing_behind(kept: Server) -> None:
    before = left(kept)
    run_hello(kept)
    for _ in range(RUNS - 1):
        run_hello(kept)
    # The zygote of the one image stays for a while.
    zygotes = int(kept.runtime == "process")
    assert settled(lambda: left(kept, zygotes), before) == before
