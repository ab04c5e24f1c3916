"""Snapshots and what is shown of a start, on the whole stack."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest
import squall

from .conftest import Program, Server

DEADLINE_S = 60.0


def from_snapshot(method: Any) -> tuple[int, str, str]:
    """What a call returned whose container was started from a snapshot."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        value, ahead, opened_in = method.remote(5)
        if ahead.startswith("snap-"):
            return value, ahead, opened_in
        time.sleep(0.5)
    raise AssertionError("no container was started from a snapshot")


def test_deployed_class_starts_from_snapshots_of_each_set_of_parameters(
    program: Program, server: Server
) -> None:
    module = program("snapshots")
    deployed = squall.App("deployed-snapshots").include(module.app)
    deployed.deploy()
    try:
        model = squall.Cls.from_name("deployed-snapshots", "Model")
        first = from_snapshot(model().times)
        assert first[0] == 10
        assert from_snapshot(model(size=3).times)[0] == 15
        assert "path      snapshot" in show(first[2], server)
        shown = json.loads(show(first[2], server, "--json"))
        assert shown["container"]["path"] == shown["start"]["path"] == "snapshot"
        names = [phase["name"] for phase in shown["start"]["phases"]]
        assert "enter" in names
        assert "import" not in names
        assert model().through_another.remote(1) == 2
    finally:
        deployed.stop()


def show(container_id: str, server: Server, *flags: str) -> str:
    """What `squall container show` prints."""
    told = {
        "SQUALL_SERVER_URL": server.ready["url"],
        "SQUALL_CREDENTIALS": server.ready["credentials"],
    }
    command = [sys.executable, "-m", "squall.cli", "container", "show", container_id, *flags]
    ran = subprocess.run(command, env={**os.environ, **told}, stdout=subprocess.PIPE, check=True)
    return ran.stdout.decode()


def test_hook_that_needs_the_platform_runs_without_a_snapshot(program: Program) -> None:
    module = program("snapshots")
    for _ in range(2):
        assert module.Impatient().answer.remote() == 2


def test_snap_hook_that_raises_is_the_caller_s_error(program: Program) -> None:
    module = program("snapshots")
    with pytest.raises(LookupError, match="no weights there"):
        module.Broken().answer.remote()
