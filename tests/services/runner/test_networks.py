"""Networks of containers that were there before the runner."""

import secrets
import subprocess
from collections.abc import Iterator

import anyio
import pytest
from squall_runner import engine
from squall_runner.networks import Networks
from squall_runner.runtime import RuntimeUnavailable

from tests.system.conftest import docker_engine

pytestmark = pytest.mark.docker


@pytest.fixture
def open_network() -> Iterator[str]:
    """One whose members reach one another, as Docker makes them."""
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    name = f"squall-test-{secrets.token_hex(4)}"
    subprocess.run(["docker", "network", "create", name], capture_output=True, check=True)
    yield name
    # The second is made where the first is taken.
    both = ["docker", "network", "rm", name, f"{name}-blocked"]
    subprocess.run(both, capture_output=True, check=False)


async def test_network_whose_members_reach_one_another_is_not_used(open_network: str) -> None:
    docker = await engine.connect()
    try:
        async with anyio.create_task_group() as tasks:
            networks = Networks(open_network, "test", ready=0)
            with pytest.raises(RuntimeUnavailable, match="reaches one another"):
                await networks.open(docker, tasks)
    finally:
        await engine.close(docker)
