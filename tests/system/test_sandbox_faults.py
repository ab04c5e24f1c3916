"""What becomes of sandboxes when their creators, gateways, schedulers and runners die."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import squall
from squall.exception import SandboxTerminatedError

from tests.system.conftest import PROGRAMS, running
from tests.system.fleet import Fleet

APP_TTL_S = "6"
"""Until a run whose client is silent has ended."""


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("SQUALL_GATEWAY_APP_TTL_S", APP_TTL_S)
    monkeypatch.setenv("SQUALL_SCHEDULER_LEASE_TTL_S", "2")
    monkeypatch.setenv("SQUALL_SCHEDULER_LOST_AFTER_S", "2")
    with running(Fleet(tmp_path, "process", "127.0.0.1")) as found:
        yield found


def made_by_who_is_killed(fleet: Fleet, kind: str) -> squall.Sandbox:
    """A sandbox whose creator has got a SIGKILL since."""
    found = {"SQUALL_SERVER_URL": fleet.url, "SQUALL_CREDENTIALS": str(fleet.credentials)}
    with subprocess.Popen(
        [sys.executable, str(PROGRAMS / "creator.py"), kind],
        env={**os.environ, **found},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as creator:
        assert creator.stdout is not None
        sandbox_id = creator.stdout.readline().strip()
        assert creator.poll() is None, "the creator ended by itself"
        creator.kill()
    return squall.Sandbox.from_id(sandbox_id)


def below_runner(fleet: Fleet) -> list[psutil.Process]:
    return psutil.Process(fleet.processes["runner"].pid).children(recursive=True)


@contextlib.contextmanager
def ended_at_last(processes: list[psutil.Process]) -> Iterator[None]:
    """Those are gone after the block, though their runner isn't there to end them."""
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def prints(sandbox: squall.Sandbox, text: str) -> bool:
    return bool(sandbox.exec("echo", text).stdout.read() == f"{text}\n")


@pytest.mark.timeout(180)
def test_sandbox_outlives_who_made_it_and_each_service_but_not_its_machine(fleet: Fleet) -> None:
    with ThreadPoolExecutor(2) as pool:
        of_run = pool.submit(made_by_who_is_killed, fleet, "run").result()
        assert of_run.poll() is None
        deployed = made_by_who_is_killed(fleet, "looked-up")
        with pytest.raises(SandboxTerminatedError):
            of_run.wait()
        assert of_run.returncode == 137
        assert deployed.poll() is None

        waited = pool.submit(deployed.wait, False)
        talking = deployed.exec("cat", bufsize=1)
        for service in ("gateway", "scheduler"):
            fleet.kill(service)
            fleet.start(service)
            fleet.wait_ready(service)
            talking.stdin.write(f"{service}\n")
            talking.stdin.drain()
            assert next(iter(talking.stdout)) == f"{service}\n"
            assert prints(deployed, f"after the {service}")

        with ended_at_last(below_runner(fleet)):
            fleet.kill("runner")
            fleet.start("runner")
            fleet.wait_ready("runner")
            assert prints(deployed, "with its runner back")
            assert not waited.done()
            with ended_at_last(below_runner(fleet)):
                fleet.kill("runner")
                waited.result(timeout=90)
        assert deployed.returncode == 137
        with pytest.raises(SandboxTerminatedError, match="lost"):
            deployed.exec("true")
