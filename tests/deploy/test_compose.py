"""`just up` as it stands: the image, the keys, every service a container of its own."""

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.ports import free_port
from tests.system.conftest import connected_to, docker_engine, load

ROOT = Path(__file__).parents[2]


class Deployed:
    """One project of deploy/compose, beside any other on this machine."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.project = f"squalltest{uuid.uuid4().hex[:8]}"
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "SQUALL_HOME": str(home),
            "SQUALL_IMAGE": "squall-deploy-test",
            "SQUALL_NATS_PORT": str(self.port),
            "SQUALL_WEB_PORTS": str(free_port()),
            "SQUALL_BUILDER_MONITOR_PORT": str(free_port()),
            "SQUALL_RUNNER_MONITOR_PORT": str(free_port()),
        }

    @property
    def credentials(self) -> Path:
        return self.home / "fleet" / "workspace-main.creds"

    def connected(self) -> contextlib.AbstractContextManager[None]:
        return connected_to(f"nats://127.0.0.1:{self.port}", str(self.credentials), "docker")

    def do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "deploy" / "compose"), *arguments]
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    def containers(self) -> dict[str, str]:
        """Service -> id of its one container."""
        asked = subprocess.run(
            ["docker", "ps", "--no-trunc", "--filter", f"label=com.docker.compose.project={self.project}",
             "--format", '{{.Label "com.docker.compose.service"}} {{.ID}}'],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return dict(line.split() for line in asked.stdout.splitlines())


def has_compose() -> bool:
    if shutil.which("docker-compose"):
        return True
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    if docker_engine() is None or not has_compose():
        pytest.skip("needs a Docker engine and its compose")
    if os.geteuid() != 0:
        pytest.skip("only root can give files to the services' user")
    running = Deployed(tmp_path_factory.mktemp("deployed"))
    try:
        running.do("up")
        yield running
    finally:
        running.do("down")


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_scheduler_is_replaced_under_a_map_without_a_failed_call(deployed: Deployed) -> None:
    before = deployed.containers()
    assert set(before) == {
        "nats", "gateway", "builder", "scheduler", "autoscaler", "cron", "runner",
    }  # fmt: skip
    began, replaced = threading.Event(), threading.Event()
    results: list[tuple[int, int]] = []

    def inputs() -> Iterator[int]:
        for number in itertools.count():
            yield number
            if replaced.wait(0.02):
                return

    def consume(function: Any) -> None:
        for x, square, _ in function.map(inputs(), order_outputs=False):
            results.append((x, square))
            began.set()

    with deployed.connected():
        module = load("endurance")
        with module.app.run():
            consumer = threading.Thread(target=consume, args=(module.slow_square,))
            consumer.start()
            assert began.wait(120)
            deployed.do("up", "scheduler")
            replaced.set()
            consumer.join(120)
            assert not consumer.is_alive()
            assert sorted(results) == [(x, x * x) for x in range(len(results))]
            # The new scheduler places what nobody had placed before.
            assert module.long_nap.remote(0.0)
    after = deployed.containers()
    assert {service for service in before if before[service] != after[service]} == {"scheduler"}


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_functions_of_a_deployment_reach_its_nats_and_nothing_else_of_the_machine(
    deployed: Deployed,
) -> None:
    with deployed.connected():
        prober = load("prober")
        with prober.app.run(), socket.create_server(("0.0.0.0", 0)) as listener:
            port = listener.getsockname()[1]
            for address in own_addresses():
                assert prober.reach.remote(address, port) == "ConnectionRefusedError"
            assert prober.reach.remote("169.254.169.254", 80) == "ConnectionRefusedError"
    for service in ("runner", "builder"):
        logs = ["docker", "logs", deployed.containers()[service]]
        said = subprocess.run(logs, capture_output=True, text=True, check=True, timeout=30)
        assert "guard.off" not in said.stdout + said.stderr


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_first_token_of_a_deployment_runs_the_first_example(
    deployed: Deployed, tmp_path: Path
) -> None:
    def squall(*arguments: str, told: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-m", "squall.cli", *arguments],
            env={**os.environ, "HOME": str(tmp_path)},
            cwd=tmp_path, input=told, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    token = (deployed.home / "fleet" / "keys" / "admin-token").read_text()
    squall("token", "set", "--server", f"nats://127.0.0.1:{deployed.port}", told=token)
    assert "operator" in squall("token", "info")
    assert "Hello, world!" in squall("run", str(ROOT / "examples" / "01_hello.py"))


def own_addresses() -> list[str]:
    """This machine's, but for those that only it can reach."""
    found = [
        each.address
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    assert found
    return found


def test_every_service_has_its_own_credentials_and_a_health_check() -> None:
    file = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    for name, service in file["services"].items():
        if name == "nats":
            continue
        mounted = [volume for volume in service["volumes"] if "/fleet/" in volume]
        assert any(f"/fleet/{name}.creds:" in volume for volume in mounted), name
        keys = [volume for volume in mounted if "/fleet/keys" in volume]
        assert bool(keys) == (name == "gateway"), name
