"""GPUs from a declared inventory: counted, waited for, given exactly, and given back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import squall

from tests.system.conftest import Server, connected_to, docker_engine, load

BOUND_S = 60


@pytest.fixture
def equipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A Docker server of its own that has two H100 and an A100, as far as it knows."""
    if docker_engine() is None:
        pytest.skip("no Docker engine answers on this machine")
    monkeypatch.setenv("SQUALL_RUNNER_GPUS", "H100,A100,H100")
    monkeypatch.setenv("SQUALL_RUNNER_GPU_DRIVER", "none")
    monkeypatch.setenv("SQUALL_SCHEDULER_WATCH_S", "1")
    running = Server("docker", tmp_path / "state")
    running.start("--ephemeral")
    try:
        with connected_to(running.ready["url"], running.ready["credentials"], "docker"):
            yield running
    finally:
        running.stop()


def remarks(server: Server) -> set[str]:
    """What `squall container list` says that containers wait for."""
    found = subprocess.run(
        [sys.executable, "-m", "squall.cli", "container", "list", "--json"],
        env={
            **os.environ,
            "SQUALL_SERVER_URL": server.ready["url"],
            "SQUALL_CREDENTIALS": server.ready["credentials"],
        },
        capture_output=True, check=True, timeout=BOUND_S,
    )  # fmt: skip
    return {entry["waits_for"] for entry in json.loads(found.stdout)} - {""}


def until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + BOUND_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.2)


@pytest.mark.docker
def test_gpus_are_given_exactly_waited_for_and_given_back(equipped: Server) -> None:
    module = load("gpus")
    with module.app.run():
        long = [module.on_h100.spawn(6.0) for _ in range(2)]
        until(lambda: module.on_h100.get_current_stats().num_running_inputs == 2)
        third = module.on_h100.spawn(0.0)
        until(lambda: "waiting for 1 H100: 2 of 2 in use" in remarks(equipped))
        assert module.with_fallback.remote() == "1"
        assert module.without.remote() == "void"
        assert sorted(squall.gather(*long)) == ["0", "2"]
        assert third.get(timeout=BOUND_S) in {"0", "2"}
        assert module.any_two.remote() == ("0,2", "0,1")
        has = r"no machine has that: \S+ has .* and A100:1, H100:2"
        with pytest.raises(squall.exception.Error, match=rf"B200:1.*{has}"):
            module.impossible.remote()
