"""Squall as separate processes on one machine, so that each can be killed by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from squall_bus.accounts import write_credentials
from squall_bus.keyring import Keyring
from squall_bus.resolver import server_config
from squall_server.natsd import find_binary

from tests.bench.floor import free_port

SERVICES = ("gateway", "autoscaler", "scheduler", "cron", "builder", "runner")
READY_WITHIN_S = 60


class Fleet:
    """nats-server and the six services, each a process of its own."""

    def __init__(self, state: Path, runtime: str, host: str) -> None:
        self.state = state
        self.runtime = runtime
        self.keyring = Keyring(state / "keys")
        self.keyring.workspace("main")
        self.port = free_port()
        self.host = host
        self.url = f"nats://{host}:{self.port}"
        self.credentials = state / "client.creds"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._web_ports: dict[str, int] = {}

    def web_port(self, gateway: str) -> int:
        """Where a gateway takes web requests, each time it is started."""
        return self._web_ports.setdefault(gateway, free_port())

    def up(self) -> None:
        write_credentials(self.credentials, self.keyring.client("main"))
        self._configure_nats()
        self.start("nats")
        for service in SERVICES:
            write_credentials(self.state / f"{service}.creds", self.keyring.service(service))
        self.start("gateway")
        self.wait_ready("gateway")
        for service in SERVICES[1:]:
            self.start(service)
        for service in SERVICES[1:]:
            self.wait_ready(service)

    def _configure_nats(self) -> None:
        accounts = self.state / "accounts"
        accounts.mkdir()
        jwts = self.keyring.account_jwts()
        for account, jwt in jwts.items():
            (accounts / f"{account}.jwt").write_text(jwt)
        (self.state / "nats.conf").write_text(
            server_config(
                name="fleet",
                listen=f"{self.host}:{self.port}",
                operator=self.keyring.operator_jwt(),
                system_account=self.keyring.system.public,
                accounts=jwts,
                jetstream_dir=self.state / "jetstream",
                accounts_dir=accounts,
            )
        )

    def start(self, name: str) -> None:
        """Start `nats`, a service, or one more of it: `runner2` is a second runner."""
        service = name.rstrip("0123456789")
        log = (self.state / f"{name}.log").open("ab")
        if name == "nats":
            command = [find_binary(), "--config", str(self.state / "nats.conf")]
        else:
            command = [sys.executable, "-m", f"squall_{service}"]
            (self.state / f"{name}.ready").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "SQUALL_NATS_URLS": self.url,
            "SQUALL_CREDENTIALS": str(self.state / f"{service}.creds"),
            "SQUALL_READY_FILE": str(self.state / f"{name}.ready"),
            "SQUALL_GATEWAY_KEYS_DIR": str(self.state / "keys"),
            "SQUALL_GATEWAY_WEB_PORTS": str(self.web_port(name) if service == "gateway" else 0),
            "SQUALL_RUNNER_RUNTIME": self.runtime,
            "SQUALL_RUNNER_STATE_DIR": str(
                self.state / (name if service == "runner" else "runner")
            ),
            "SQUALL_RUNNER_SERVERS_FOR_CONTAINERS": self.url,
            "SQUALL_RUNNER_EPHEMERAL": "true",
            "SQUALL_BUILDER_RUNTIME": self.runtime,
            "SQUALL_BUILDER_STATE_DIR": str(self.state / "cache"),
        }
        with log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_ready(self, name: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not (self.state / f"{name}.ready").exists():
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                log = (self.state / f"{name}.log").read_text()[-2000:]
                raise RuntimeError(f"{name} did not get ready:\n{log}")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        self.processes[name].kill()
        self.processes[name].wait()

    def down(self) -> None:
        """Everybody in order, nats-server last."""
        order = ("autoscaler", "scheduler", "cron", "builder", "runner", "gateway", "nats")
        for service in order:
            for name, process in self.processes.items():
                if name.rstrip("0123456789") == service and process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.wait(60)
