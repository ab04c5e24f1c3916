"""A new machine becomes a runner with a token, does work, returns, and nobody else can with that token."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from squall import _client
from squall._sync import run
from squall_contracts.tokens import IssuePlatformToken

from tests.system.conftest import load, running
from tests.system.fleet import Fleet


class WithoutRunner(Fleet):
    """All but a machine to run on."""

    def up(self) -> None:
        self.prepare()
        self.start("nats")
        self.start("gateway")
        self.wait_ready("gateway")
        for name in ("autoscaler", "scheduler", "builder"):
            self.start(name)
            self.wait_ready(name)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[WithoutRunner]:
    with running(WithoutRunner(tmp_path, "process", "127.0.0.1")) as found:
        yield found


def issued() -> str:
    async def ask() -> str:
        client = await _client.connected()
        request: Any = IssuePlatformToken(user="machines", scopes=("runner",))
        made = await client.control(request)
        return f"{made.token_id}.{made.secret}"

    return run(ask())


def join(fleet: Fleet, token: str, name: str) -> "subprocess.Popen[bytes]":
    environment = {
        **os.environ,
        "SQUALL_JOIN_TOKEN": token,
        "SQUALL_READY_FILE": str(fleet.state / f"{name}.ready"),
        "SQUALL_RUNNER_STATE_DIR": str(fleet.state / name),
        "SQUALL_RUNNER_RUNTIME": "process",
        "SQUALL_RUNNER_EPHEMERAL": "true",
    }
    (fleet.state / f"{name}.ready").unlink(missing_ok=True)
    command = [sys.executable, "-m", "squall.cli", "runner", "join", "--server", fleet.url]
    with (fleet.state / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stderr=log)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_machine_joins_with_a_token_works_and_returns(fleet: WithoutRunner) -> None:
    token, module = issued(), load("ping_pong")
    for _ in range(2):
        with join(fleet, token, "machine") as runner:
            try:
                fleet.processes["machine"] = runner
                fleet.wait_ready("machine")
                with module.app.run():
                    assert module.square.remote(7) == 49
                    assert module.hello.remote("you") == "Hello, you!"
            finally:
                runner.terminate()
                runner.wait(30)
        assert runner.returncode == 0, (fleet.state / "machine.log").read_text()[-3000:]
    for foreign, says in ((token, "each joins with its own"), ("at-x.y", "")):
        with join(fleet, foreign, "another") as other:
            assert other.wait(60) == 2
        said = (fleet.state / "another.log").read_text()
        assert said.count("\n") == 1
        assert says in said
        (fleet.state / "another.log").unlink()
