"""A whole fleet that reaches NATS by WebSockets over TLS, with a certificate of an authority of its own."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509

from tests.bus.authority import Authority
from tests.ports import free_port
from tests.system.conftest import docker_engine, load, running
from tests.system.fleet import Fleet
from tests.system.test_chaos import docker_gateway


class SecuredFleet(Fleet):
    """Only the services' SSL_CERT_FILE says which authority it is; containers are told by their runner."""

    def __init__(self, state: Path, runtime: str, host: str) -> None:
        super().__init__(state, runtime, host)
        authority = Authority(state, "authority")
        self._certificate = authority.issue(state, x509.IPAddress(ipaddress.ip_address(host)))
        self._websocket = f"{host}:{free_port()}"
        self.url = f"wss://{self._websocket}"
        self.ca_file = str(authority.file)
        self._trusted = state / "trusted.pem"
        self._trusted.write_text(Path(certifi.where()).read_text() + authority.file.read_text())

    def secured(self, _nats: str) -> dict[str, Any]:
        return {"tls": self._certificate, "websocket": self._websocket}

    def variables(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self._trusted)}


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    if request.param == "docker" and docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    host = docker_gateway() if request.param == "docker" else "127.0.0.1"
    with running(SecuredFleet(tmp_path, request.param, host)) as found:
        yield found


def test_calls_and_calls_of_containers_go_over_websockets(fleet: Fleet) -> None:
    assert fleet.url.startswith("wss://")
    module = load("traced")
    with module.app.run():
        assert module.outer.remote(4) == 50
        assert list(module.inner.map(range(50))) == list(range(1, 51))
