"""Real one-machine servers, each with a state directory of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from squall_bus.access.accounts import owner_of, read_credentials
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_contracts import subjects


class Server:
    """One process; `told` is the line it printed when it was ready."""

    def __init__(self, state: Path, *options: str, **variables: str) -> None:
        self.state = state
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SQUALL_")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "squall_server", "--state", str(state), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, **variables},
        )
        self.told: dict[str, Any] = {}

    def ready(self) -> "Server":
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait()}: {self.errors()}"
        self.told = json.loads(line)
        return self

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def refused(self) -> tuple[int, str]:
        """The exit code and last line of one that does not start."""
        out, err = self.process.communicate(timeout=30)
        assert out == ""
        return self.process.returncode, err.strip().splitlines()[-1]

    @property
    def nats(self) -> psutil.Process:
        """Its nats-server."""
        (found,) = psutil.Process(self.process.pid).children()
        return found

    def stop(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=60)
        return self.process.returncode

    async def client(self) -> Bus:
        credentials = read_credentials(Path(self.told["credentials"]))
        inbox = subjects.inbox(owner_of(credentials.jwt))
        return await connect([self.told["url"]], credentials, name="test", inbox=inbox)


class Servers:
    """Starts servers, and kills at the end what a failing test left."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._all: list[Server] = []

    def start(self, *options: str, state: Path | None = None, **variables: str) -> Server:
        if "--runtime" not in options:
            options = ("--runtime", "process", *options)
        server = Server(state or self.state, *options, **variables)
        self._all.append(server)
        return server

    def close(self) -> None:
        for server in self._all:
            if server.process.poll() is None:
                server.process.kill()
            server.process.communicate()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    found = Servers(tmp_path / "state")
    yield found
    found.close()
