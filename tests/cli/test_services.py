"""`squall up SERVICE…`: what a bare machine lacks is said before anything starts, then all start."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from squall_bus.access.accounts import write_credentials
from squall_bus.access.keyring import Keyring

from tests.bus.natsd import BINARY
from tests.ports import await_listener, free_port

from .conftest import Squall

URL = "nats://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["scheduler"], "--nats-url or SQUALL_NATS_URLS"),
        (["scheduler", "--nats-url", URL], "--credentials or SQUALL_CREDENTIALS"),
        (["scheduler", "--nats-url", URL, "--credentials", "gone.creds"], "gone.creds"),
        (["shceduler"], "choose of gateway, builder, scheduler"),
        (["--nats-url", URL], "name some"),
    ],
)
def test_what_a_service_lacks_is_one_line(squall: Squall, arguments: list[str], says: str) -> None:
    done = squall("up", *arguments)
    assert done.returncode != 0
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_services_take_their_own_credentials_of_a_directory(squall: Squall, home: Path) -> None:
    keyring = Keyring(home / "keys")
    write_credentials(home / "cron.creds", keyring.service("cron"))
    wanting = squall("up", "cron", "scheduler", "--nats-url", URL, "--credentials", str(home))
    assert "scheduler.creds" in wanting.stderr
    done = squall("up", "cron", "--nats-url", URL, "--credentials", str(home))
    assert done.returncode == 1
    assert f"can't reach {URL}" in done.stderr


def test_services_of_a_new_fleet_start_together(home: Path, environment: dict[str, str]) -> None:
    port, fleet = free_port(), home / "fleet"
    listens = ["--listen", f"127.0.0.1:{port}", "--data", str(home / "data")]
    prepare = [sys.executable, "-m", "squall_gateway.prepare", str(fleet), *listens]
    subprocess.run(prepare, check=True)
    told = {
        "SQUALL_NATS_URLS": f"nats://127.0.0.1:{port}",
        "SQUALL_CREDENTIALS": str(fleet),
        "SQUALL_GATEWAY_KEYS_DIR": str(fleet / "keys"),
        "SQUALL_GATEWAY_WEB_PORTS": "0",
        "SQUALL_LOG": "json",
    }
    names = {"scheduler", "gateway", "autoscaler", "cron"}
    nats = subprocess.Popen(
        [BINARY, "--config", str(fleet / "nats.conf"), "--log", "nats.log"], cwd=home
    )
    try:
        await_listener(nats, port)
        with subprocess.Popen(
            [sys.executable, "-m", "squall.cli", "up", *names],
            env={**environment, **told},
            stderr=subprocess.PIPE,
            text=True,
        ) as up:
            assert up.stderr is not None
            ready = set()
            for line in up.stderr:
                said = json.loads(line)
                if said["event"] == "service.ready":
                    ready.add(said["service"])
                    if ready == names:
                        up.send_signal(signal.SIGTERM)
            assert ready == names
            assert up.wait(60) == 0
    finally:
        nats.terminate()
        nats.wait(20)
