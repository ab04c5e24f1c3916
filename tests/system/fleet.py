"""Squall as separate processes on one machine, so that each can be killed by itself."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from squall_bus.access.accounts import write_credentials
from squall_bus.access.keyring import Keyring
from squall_bus.access.resolver import Cluster, server_config
from squall_server.natsd import find_binary

from tests.ports import free_port

SERVICES = ("gateway", "autoscaler", "scheduler", "cron", "builder", "runner")
READY_WITHIN_S = 60


class Fleet:
    """nats-server, or three of them, and the six services, each a process of its own."""

    def __init__(self, state: Path, runtime: str, host: str, *, nodes: int = 1) -> None:
        self.state = state
        self.runtime = runtime
        self.keyring = Keyring(state / "keys")
        self.keyring.workspace("main")
        self.host = host
        self.nats = ["nats"] if nodes == 1 else [f"nats{number + 1}" for number in range(nodes)]
        self._ports = {name: (free_port(), free_port()) for name in self.nats}
        self.url = ",".join(
            f"nats://{self.address(name)}:{self._ports[name][0]}" for name in self.nats
        )
        self.credentials = state / "client.creds"
        self.ca_file = ""
        """By which clients know NATS; empty: it shows no certificate."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._web_ports: dict[str, int] = {}

    def address(self, _nats: str) -> str:
        """Where one of the NATS servers listens."""
        return self.host

    def prefix(self, _name: str) -> list[str]:
        """What a command line begins with to run elsewhere than here."""
        return []

    def web_port(self, gateway: str) -> int:
        """Where a gateway takes web requests, each time it is started."""
        return self._web_ports.setdefault(gateway, free_port())

    def prepare(self) -> None:
        """Everything that must be on disk before the first of them starts."""
        write_credentials(self.credentials, self.keyring.client("main"))
        for name in self.nats:
            self._configure_nats(name)
        for service in SERVICES:
            write_credentials(self.state / f"{service}.creds", self.keyring.service(service))

    def up(self) -> None:
        self.prepare()
        for name in self.nats:
            self.start(name)
        self.start("gateway")
        self.wait_ready("gateway")
        for service in SERVICES[1:]:
            self.start(service)
        for service in SERVICES[1:]:
            self.wait_ready(service)

    def _configure_nats(self, name: str) -> None:
        port, _ = self._ports[name]
        accounts = self.state / name / "accounts"
        accounts.mkdir(parents=True)
        jwts = self.keyring.account_jwts()
        for account, jwt in jwts.items():
            (accounts / f"{account}.jwt").write_text(jwt)
        (self.state / f"{name}.conf").write_text(
            server_config(
                name=name,
                listen=f"{self.address(name)}:{port}",
                operator=self.keyring.operator_jwt(),
                system_account=self.keyring.system.public,
                accounts=jwts,
                lobby_user=self.keyring.lobby_user(),
                jetstream_dir=self.state / name / "jetstream",
                accounts_dir=accounts,
                cluster=self._cluster(name),
                **self.secured(name),
            )
        )

    def secured(self, _nats: str) -> dict[str, Any]:
        """What else one of the NATS servers is configured with."""
        return {}

    def variables(self) -> dict[str, str]:
        """What else the services are told."""
        return {}

    def _cluster(self, name: str) -> Cluster | None:
        if len(self.nats) == 1:
            return None
        routes = tuple(f"{self.address(each)}:{own}" for each, (_, own) in self._ports.items())
        return Cluster(
            listen=f"{self.address(name)}:{self._ports[name][1]}",
            routes=routes,
            password="cluster",
        )

    def start(self, name: str) -> None:
        """Start `nats`, a service, or one more of it: `runner2` is a second runner."""
        service = name.rstrip("0123456789")
        log = (self.state / f"{name}.log").open("ab")
        if service == "nats":
            command = [find_binary(), "--config", str(self.state / f"{name}.conf")]
        else:
            command = [sys.executable, "-m", f"squall_{service}"]
            (self.state / f"{name}.ready").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "SQUALL_NATS_URLS": self.url,
            "SQUALL_REPLICAS": str(len(self.nats)),
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
            **self.variables(),
        }
        with log:
            self.processes[name] = subprocess.Popen(
                [*self.prefix(name), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
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
