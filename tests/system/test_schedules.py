"""Scenario 7: schedules of deployed apps, and what the command line does to them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
import squall
from squall.app import App
from squall.runner import deploy_app

from tests.system.conftest import Program, Server, connected_to, load
from tests.system.fleet import Fleet

NEW_YORK = ZoneInfo("America/New_York")


class Deployment:
    """The ticking app, deployed on a server, and its user at a shell."""

    def __init__(self, url: str, credentials: str, module: ModuleType) -> None:
        self.environment = {
            **os.environ,
            "SQUALL_SERVER_URL": url,
            "SQUALL_CREDENTIALS": credentials,
        }
        self.module = module
        self.since_s = time.time()
        deploy_app(module.app)

    def squall(self, *argv: str) -> str:
        """What a command printed on stdout."""
        command = [sys.executable, "-m", "squall.cli", *argv]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def schedules(self) -> dict[str, dict[str, object]]:
        listed = json.loads(self.squall("schedule", "list", "--json"))
        return {each["name"]: each for each in listed if each["app_name"] == "ticking"}

    def ticks(self, count: int, since_s: float = 0.0) -> list[float]:
        """The due times of the first ticks since then and since the deploy, once there are so many."""
        since_s = max(since_s, self.since_s)
        command = [sys.executable, "-m", "squall.cli", "app", "logs", "ticking", "--follow"]
        with subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as following:
            assert following.stdout is not None
            found: list[float] = []
            for line in following.stdout:
                _, tick, said = line.partition("tick ")
                if tick and said.strip() != "None" and float(said) > since_s:
                    found.append(float(said))
                if len(found) == count:
                    break
            following.terminate()
        return found

    def stop(self) -> None:
        self.module.app.stop()


def is_on_time(at: float, another: float) -> bool:
    """Whether two due times are whole periods apart."""
    periods = (at - another) / 0.5
    return abs(periods - round(periods)) < 0.001


@pytest.fixture
def deployed(server: Server) -> Iterator[Deployment]:
    ready = server.ready
    with connected_to(ready["url"], ready["credentials"], server.runtime):
        running = Deployment(ready["url"], ready["credentials"], load("ticking"))
        yield running
        running.stop()


def test_a_period_is_kept_without_drift_and_each_call_knows_its_time(deployed: Deployment) -> None:
    times = deployed.ticks(5)
    assert len(set(times)) == 5
    last = squall.FunctionCall.from_id(str(deployed.schedules()["tick"]["call_id"]))
    assert all(is_on_time(at, times[0]) for at in (*times, last.get(timeout=30)))


def test_a_weekly_time_is_told_on_the_clock_of_its_zone(deployed: Deployment) -> None:
    until = time.monotonic() + 30
    while "weekly" not in (listed := deployed.schedules()) and time.monotonic() < until:
        pass
    at = datetime.fromtimestamp(float(str(listed["weekly"]["next_unix_s"])), NEW_YORK)
    assert (at.weekday(), at.hour, at.minute) == (0, 6, 0)
    assert "0 6 * * 1 America/New_York" in deployed.squall("schedule", "list")


def test_a_schedule_is_paused_run_by_hand_and_resumed(deployed: Deployment) -> None:
    deployed.ticks(1)
    deployed.squall("schedule", "pause", "ticking::tick")
    paused = deployed.schedules()["tick"]
    assert paused["paused"]
    assert paused["next_unix_s"] is None
    call_id = deployed.squall("schedule", "run-now", "ticking::tick").strip()
    assert squall.FunctionCall.from_id(call_id).get(timeout=60) is None
    assert deployed.schedules()["tick"]["fired_unix_s"] == paused["fired_unix_s"]
    resumed_s = time.time()
    deployed.squall("schedule", "resume", "ticking::tick")
    assert not deployed.schedules()["tick"]["paused"]
    assert len(deployed.ticks(2, since_s=resumed_s)) == 2


def test_a_deploy_without_the_schedule_removes_it(deployed: Deployment) -> None:
    deployed.ticks(1)
    plain = App("ticking")
    plain.function(serialized=True, name="tick")(lambda: None)
    deploy_app(plain)
    until = time.monotonic() + 30
    while deployed.schedules() and time.monotonic() < until:
        pass
    assert not deployed.schedules()


def test_a_run_never_follows_its_schedules(program: Program, server: Server) -> None:
    module = program("ticking")
    assert module.idle.remote() == "idle"
    assert module.tick.remote() is None
    ready = server.ready
    environment = {
        **os.environ,
        "SQUALL_SERVER_URL": ready["url"],
        "SQUALL_CREDENTIALS": ready["credentials"],
    }
    command = [sys.executable, "-m", "squall.cli", "schedule", "list", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert not [e for e in json.loads(done.stdout) if e["app_id"] == module.app.app_id]


def test_two_replicas_and_a_killed_leader_fire_each_time_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUALL_CRON_LEASE_TTL_S", "2")
    fleet = Fleet(tmp_path, "process", "127.0.0.1")
    try:
        fleet.up()
        fleet.start("cron2")
        fleet.wait_ready("cron2")
        with connected_to(fleet.url, str(fleet.credentials), "process"):
            running = Deployment(fleet.url, str(fleet.credentials), load("ticking"))
            before = running.ticks(3)
            fleet.kill("cron")
            running.ticks(len(before) + 4)
            fleet.start("cron")
            fleet.wait_ready("cron")
            fleet.kill("cron2")
            times = running.ticks(len(before) + 8)
            running.stop()
    finally:
        fleet.down()
    assert len(times) == len(set(times))
    assert all(is_on_time(at, times[0]) for at in times)
