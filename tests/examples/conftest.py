"""One server for each runtime, shared by all examples."""

from collections.abc import Iterator

import pytest

from ..system.conftest import Server, docker_engine


@pytest.fixture(
    scope="session", params=["process", pytest.param("docker", marks=pytest.mark.docker)]
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of that runtime, up for the session."""
    runtime: str = request.param
    if runtime == "docker" and docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    running = Server(runtime, tmp_path_factory.mktemp(f"examples-{runtime}"))
    running.start("--ephemeral")
    try:
        yield running
    finally:
        running.stop()
