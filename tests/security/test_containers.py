"""What code in a real container can't do to its machine, its neighbours or itself."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from types import ModuleType

import pytest
import squall

from tests.chaos.hosts import Hosts, possible
from tests.system.conftest import Server, connected_to, docker_engine, load

pytestmark = pytest.mark.docker
CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
NET_BIND_SERVICE = 10
ELSEWHERE_PORT = 7272


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Hosts | None]:
    """Two other machines that listen; None: this one can't have them."""
    if not possible():
        yield None
        return
    with Hosts(("listed", "other")) as hosts:
        command = (sys.executable, "-m", "http.server", str(ELSEWHERE_PORT))
        quiet = subprocess.DEVNULL
        listening = [
            subprocess.Popen([*hosts.inside(name), *command], stdout=quiet, stderr=quiet)
            for name in ("listed", "other")
        ]
        try:
            for name in ("listed", "other"):
                until_listening(hosts.address(name))
            yield hosts
        finally:
            for process in listening:
                process.kill()
                process.wait()


def until_listening(address: str) -> None:
    deadline_s = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((address, ELSEWHERE_PORT), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="module")
def prober(
    tmp_path_factory: pytest.TempPathFactory, elsewhere: Hosts | None
) -> Iterator[ModuleType]:
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    if elsewhere is not None:
        listed = f"{elsewhere.address('listed')}/32"
        os.environ["PROBER_MAY_REACH"] = f"{listed} {elsewhere.own_address}/32 169.254.0.0/16"
    server = Server("docker", tmp_path_factory.mktemp("state"))
    server.start("--ephemeral")
    try:
        with connected_to(server.ready["url"], server.ready["credentials"], "docker"):
            module = load("prober")
            with module.app.run():
                module.gateway = server.ready["url"].rpartition("//")[2].partition(":")[0]  # type: ignore[attr-defined]
                yield module
    finally:
        server.stop()


def guarded() -> bool:
    tools = ("nsenter", "iptables-restore", "ip")
    return os.geteuid() == 0 and all(map(shutil.which, tools))


needs_guard = pytest.mark.skipif(not guarded(), reason="the guard takes root and iptables")


@needs_guard
def test_machine_is_out_of_reach_but_for_nats(prober: ModuleType) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        assert prober.reach.remote(prober.gateway, port) == "ConnectionRefusedError"
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()


@needs_guard
def test_metadata_addresses_are_refused(prober: ModuleType) -> None:
    assert prober.reach.remote("169.254.169.254", 80) == "ConnectionRefusedError"


@needs_guard
def test_function_with_a_list_connects_to_nothing_else(
    prober: ModuleType, elsewhere: Hosts | None
) -> None:
    if elsewhere is None:
        pytest.skip("hosts of their own take root, network namespaces and iproute2")
    listed, other = elsewhere.address("listed"), elsewhere.address("other")
    assert prober.reach.remote(other, ELSEWHERE_PORT) == "connected"
    assert prober.reach_some.remote(listed, ELSEWHERE_PORT) == "connected"
    assert prober.reach_some.remote(other, ELSEWHERE_PORT) == "ConnectionRefusedError"


@needs_guard
def test_list_opens_neither_the_machine_nor_the_metadata_addresses(prober: ModuleType) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        assert prober.reach_some.remote(prober.gateway, port) == "ConnectionRefusedError"
    assert prober.reach_some.remote("169.254.169.254", 80) == "ConnectionRefusedError"


PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3).close()
except OSError as error:
    print(type(error).__name__)
else:
    print("connected")
"""


def from_inside(sandbox: squall.Sandbox, host: str, port: int) -> str:
    """What a connection from a sandbox comes to."""
    said = sandbox.exec("python", "-c", PROBE, host, str(port)).stdout.read()
    return str(said).strip()


@needs_guard
def test_sandbox_connects_to_what_it_may_and_to_nothing_of_the_machine(
    prober: ModuleType, elsewhere: Hosts | None
) -> None:
    if elsewhere is None:
        pytest.skip("hosts of their own take root, network namespaces and iproute2")
    listed, other = elsewhere.address("listed"), elsewhere.address("other")
    listing = squall.Sandbox.create(app=prober.app, outbound_cidr_allowlist=[f"{listed}/32"])
    alone = squall.Sandbox.create(app=prober.app, block_network=True)
    assert from_inside(listing, listed, ELSEWHERE_PORT) == "connected"
    assert from_inside(listing, other, ELSEWHERE_PORT) == "ConnectionRefusedError"
    for address in (listed, other):
        assert from_inside(alone, address, ELSEWHERE_PORT) not in {"", "connected"}
    with socket.create_server(("0.0.0.0", 0)) as listener:
        for sandbox in (listing, alone):
            port = listener.getsockname()[1]
            assert from_inside(sandbox, prober.gateway, port) not in {"", "connected"}
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    listing.terminate()
    alone.terminate()


def test_neighbour_is_out_of_reach(prober: ModuleType) -> None:
    said = prober.listen.remote_gen(5.0)
    neighbour = next(said)
    assert prober.reach.remote(neighbour, 7171) != "connected"
    assert next(said) == "nobody"


def test_capabilities_are_few_and_none_can_be_gained(prober: ModuleType) -> None:
    said = prober.status.remote()
    allowed = sum(1 << bit for bit in (*CAPABILITIES.values(), NET_BIND_SERVICE))
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapInh"):
        assert int(said[kind], 16) & ~allowed == 0, kind
    assert said["NoNewPrivs"] == "1"
    assert said["Seccomp"] == "2"
    assert prober.mounts_proc.remote() == "refused"


def test_guest_and_assignment_are_read_only_and_the_engine_is_not_there(
    prober: ModuleType,
) -> None:
    for path in ("/squall/site/boot.py", "/squall/in/assignment", "/proc/sys/kernel/hostname"):
        assert prober.writes.remote(path) == "OSError", path
    for path in ("/squall/site/mine", "/squall/in/mine"):
        assert prober.creates.remote(path) == "OSError", path
    for path in ("/var/run/docker.sock", "/run/containerd/containerd.sock", "/dev/kmsg"):
        assert not prober.exists.remote(path), path
