"""The metrics of a whole machine are those the documentation and the dashboard name."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from squall.app import App

from tests.ports import free_port
from tests.system.conftest import Server, connected_to

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "builder", "scheduler", "autoscaler", "cron", "runner")
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A machine on which something ran, and where it shows its metrics."""
    listens = f"127.0.0.1:{free_port()}"
    server = Server("process", tmp_path_factory.mktemp("metrics"))
    server.start("--ephemeral", "--monitor", listens)
    try:
        with connected_to(server.ready["url"], server.ready["credentials"], "process"):
            app = App("measured")
            one = app.function(serialized=True, name="one")(lambda: 1)
            with app.run():
                assert one.remote() == 1
                yield listens
    finally:
        server.stop()


@pytest.fixture(scope="module")
def shown(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as response:
        lines = response.read().decode().splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def names(samples: dict[str, float]) -> set[str]:
    bare = (SUFFIXES.sub("", name.partition("{")[0]) for name in samples)
    return {n for n in bare if n.startswith("squall_") and not n.endswith("_created")}


def documented() -> set[str]:
    listed = set(
        re.findall(r"^\| `(squall_[\w<>]+)`", (ROOT / "docs/metrics.md").read_text(), re.M)
    )
    return {name.replace("<service>", service) for name in listed for service in SERVICES}


def test_every_metric_is_documented_and_every_documented_one_is_shown(
    shown: dict[str, float],
) -> None:
    assert names(shown) == documented()


def test_the_dashboard_asks_for_documented_metrics_only() -> None:
    dashboard = (ROOT / "deploy/grafana/squall.json").read_text()
    asked = {SUFFIXES.sub("", name) for name in re.findall(r"squall_\w+", dashboard)}
    spelled = asked - {"squall_"}
    assert spelled <= documented()
    assert len(json.loads(dashboard)["panels"]) >= 6


def test_what_happened_is_counted(shown: dict[str, float]) -> None:
    assert shown["squall_scheduler_leads"] == 1.0
    assert shown["squall_scheduler_machines"] == 1.0
    assert shown['squall_scheduler_containers{state="ready"}'] == 1.0
    assert shown["squall_autoscaler_functions"] == 1.0
    assert shown['squall_autoscaler_targets_total{direction="up"}'] == 1.0
    assert shown['squall_builder_orders_total{state="ready"}'] == 1.0
    assert shown['squall_gateway_request_seconds_count{outcome="ok",verb="start_app"}'] == 1.0
    assert shown["squall_runner_containers"] == 1.0
    assert all(shown[f"squall_{service}_bus_connected"] == 1.0 for service in SERVICES)


def test_a_server_that_serves_is_live_and_ready(address: str) -> None:
    for path in ("live", "ready"):
        with urllib.request.urlopen(f"http://{address}/{path}", timeout=60) as response:
            assert response.status == 200
