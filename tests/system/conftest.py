"""A real server per runtime, shared by the session: nats-server, all services, real containers."""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import psutil
import pytest
from squall import _client
from squall.config import Server as Endpoint
from squall.config import use_server

from tests.system.fleet import Fleet

PROGRAMS = Path(__file__).parent / "programs"
Program = Callable[[str], ModuleType]
F = TypeVar("F", bound=Fleet)


def docker_engine() -> str | None:
    """The engine's version, or None when none answers."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        if asked.returncode == 0:
            return asked.stdout.strip()
    return None


class Server:
    """A running one-machine server and where it keeps its things."""

    def __init__(self, runtime: str, state: Path, **settings: str) -> None:
        """`settings`: variables of its environment, beside this process's own."""
        self.runtime = runtime
        self.state = state
        self.settings = settings
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, str] = {}

    def start(self, *flags: str) -> None:
        command = [sys.executable, "-m", "squall_server", "--state", str(self.state)]
        self.process = subprocess.Popen(
            [*command, "--runtime", self.runtime, "--until-parent-exits", *flags],
            stdout=subprocess.PIPE,
            env={**os.environ, **self.settings},
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self.process.wait()} before it was ready")
        self.ready = json.loads(line)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait(60)

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """`servers(runtime)`: the one server of that runtime, started when it is first asked for."""
    started: dict[str, Server] = {}

    def of(runtime: str) -> Server:
        if runtime not in started:
            # Its one machine would rest a minute of those in which tests kill containers of theirs.
            brief = {"SQUALL_SCHEDULER_BRAKE_REST_S": "1"}
            server = Server(runtime, tmp_path_factory.mktemp(f"state-{runtime}"), **brief)
            server.start("--ephemeral")
            started[runtime] = server
        return started[runtime]

    try:
        yield of
    finally:
        for server in started.values():
            server.stop()


@pytest.fixture(
    scope="module", params=["process", pytest.param("docker", marks=pytest.mark.docker)]
)
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    """The server of each runtime, shared by all files; the SDK finds it by its state directory."""
    runtime: str = request.param
    if runtime == "docker" and docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    return servers(runtime)


@contextlib.contextmanager
def connected_to(url: str, credentials: str, runtime: str, *, ca_file: str = "") -> Iterator[None]:
    """This process's SDK uses that server within the block, and forgets it afterwards."""
    _client.shutdown()
    use_server(
        Endpoint(url=url, credentials=credentials, runtime=runtime, ca_file=ca_file, source="tests")
    )
    try:
        yield
    finally:
        _client.shutdown()
        use_server(None)


@contextlib.contextmanager
def running(fleet: F) -> Iterator[F]:
    """The fleet is up within the block, and this process's SDK its client."""
    try:
        fleet.up()
        with connected_to(fleet.url, str(fleet.credentials), fleet.runtime, ca_file=fleet.ca_file):
            yield fleet
    finally:
        fleet.down()


def load(name: str) -> ModuleType:
    """A script of programs/ as a user's module, known by its name from then on."""
    return load_file(PROGRAMS / f"{name}.py")


def load_file(path: Path) -> ModuleType:
    """Any script as a user's module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def program(server: Server) -> Iterator[Program]:
    """Load a script of programs/ as a user's module and run its app for the length of the test."""
    with contextlib.ExitStack() as running:
        ready = server.ready
        running.enter_context(connected_to(ready["url"], ready["credentials"], server.runtime))

        def run(name: str) -> ModuleType:
            running.callback(sys.modules.pop, name, None)
            module = load(name)
            running.enter_context(module.app.run())
            return module

        yield run
