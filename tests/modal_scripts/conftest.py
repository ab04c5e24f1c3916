"""One docker server and one player of scripts for all of them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ..system.conftest import Server, docker_engine

SCRIPTS = Path(__file__).parent / "scripts"


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Play = Callable[..., Done]


@pytest.fixture(scope="session")
def modal_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables of commands that find the server these scripts run on."""
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    server = Server("docker", tmp_path_factory.mktemp("state-modal"))
    server.start("--ephemeral")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SQUALL_")}
    found = {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    try:
        yield {**kept, **found, "NO_COLOR": "1"}
    finally:
        server.stop()


@pytest.fixture(scope="session")
def play(modal_environment: dict[str, str]) -> Iterator[Play]:
    """`play(*argv)`: run a command of `squall`."""
    player = subprocess.Popen(
        [sys.executable, "-m", f"{__package__}.play"],
        env=modal_environment,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdin, stdout = player.stdin, player.stdout
    assert stdin is not None
    assert stdout is not None

    def command(*argv: str) -> Done:
        stdin.write(json.dumps(argv) + "\n")
        stdin.flush()
        return Done(**json.loads(stdout.readline()))

    assert command("secret", "create", "script-api", "API_KEY=sesame").status == 0
    try:
        yield command
    finally:
        stdin.close()
        player.wait(60)
        stdout.close()
