"""`squall top`: what it makes of what it hears, and what it shows of a running server."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.cli.top_core import Heard, container_rows, function_rows, machine_rows, percentile
from squall_contracts.breakers import FunctionEntry
from squall_contracts.calls import Exhausted, Raised, Results, Returned
from squall_contracts.failures import Failure
from squall_contracts.placement import ContainerRecord
from squall_contracts.usage import ContainerUsage, MachineUsage, UsageNow

from .conftest import Squall

PROGRAM = """
import squall

app = squall.App("busy")

@app.function(max_containers=1)
def spin(x: int) -> int:
    return sum(range(20_000))

@app.local_entrypoint()
def main():
    for _ in spin.map(range(10_000_000), order_outputs=False):
        pass
"""


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_that_enough_do_not_exceed(
    values: list[float], part: float
) -> None:
    ordered = sorted(values)
    found = percentile(ordered, part)
    assert found is not None
    enough = math.ceil(len(values) * part - 1e-6)
    assert sum(value <= found for value in ordered) >= enough
    assert sum(value < found for value in ordered) < max(1, enough)
    assert percentile([], part) is None


def entry(name: str) -> FunctionEntry:
    return FunctionEntry(
        function_id=f"fn-{name}", name=name, app_id="ap-1", app_name="app", environment="main",
        version=1, containers=2,
    )  # fmt: skip


def record(name: str) -> ContainerRecord:
    return ContainerRecord(
        container_id=f"ct-{name}", function_id=f"fn-{name}", function_name=name, app_id="ap-1",
        app_name="app", workspace="A", environment="main", version=1, state="ready",
    )  # fmt: skip


def test_results_are_counted_for_the_function_of_their_container() -> None:
    heard = Heard()
    failure = Failure(kind="exception", message="no")
    heard.results(Results("fc-0", "ct-one", (Returned(0, b"", 9.0),)), 10.0)
    results = Results(
        "fc-1", "ct-one", (Returned(0, b"", 0.5), Raised(1, failure), Exhausted(2, 7))
    )
    heard.results(results, 100.0)
    heard.results(Results("fc-2", "ct-unknown", (Returned(0, b"", 1.0),)), 100.0)
    rows = function_rows(
        [entry("one"), entry("two")], [record("one")], heard.since(90.0), {"fn-two": 3}, 2.0
    )
    assert [(r.function, r.calls_per_s, r.failed_per_s, r.p50_s, r.backlog) for r in rows] == [
        ("one", 1.5, 0.5, 0.5, 0),
        ("two", 0.0, 0.0, None, 3),
    ]


def test_cores_are_what_was_used_between_two_looks() -> None:
    def look(cpu_s: float, at: float) -> UsageNow:
        own = ContainerUsage(container_id="ct-one", cpu_s=cpu_s, memory_bytes=7, at_unix_s=at)
        host = MachineUsage(
            runner_id="rn-1", hostname="host", cores=2, cpu_s=cpu_s * 2, memory_bytes=1,
            memory_total_bytes=2, containers=1, at_unix_s=at,
        )  # fmt: skip
        return UsageNow(containers=(own,), machines=(host,))

    before, now = look(10.0, 100.0), look(11.0, 102.0)
    assert container_rows([record("one"), record("two")], now, before)[0].cpu == 0.5
    assert container_rows([record("one")], now, None)[0].cpu is None
    assert machine_rows(now, before)[0].cpu == 1.0


@pytest.fixture
def busy(
    stack: dict[str, str],
    environment: dict[str, str],
    home: Path,
    write: Callable[[str, str], Path],
    squall: Squall,
) -> Iterator[None]:
    """A program that keeps one container at work."""
    write("busy.py", PROGRAM)
    process = subprocess.Popen(
        [sys.executable, "-m", "squall.cli", "run", "-q", "busy.py"],
        cwd=home, env={**environment, **stack},
    )  # fmt: skip
    yield
    process.terminate()
    process.wait(60)


def test_a_function_at_work_is_shown_with_its_container_and_machine(
    busy: None, squall: Squall, stack: dict[str, str]
) -> None:
    for _ in range(30):
        shown = json.loads(squall("top", "--once", "--json", "-d", "1", **stack).stdout)
        [function] = [row for row in shown["functions"] if row["app"] == "busy"] or [{}]
        containers = [row for row in shown["containers"] if row["app"] == "busy"]
        if function.get("calls_per_s") and containers and containers[0]["cpu"]:
            break
    assert function["function"] == "spin"
    assert 0 < function["p50_s"] <= function["p95_s"] < 60
    assert function["containers"] == 1
    [container] = containers
    assert container["cpu"] > 0
    assert container["memory_bytes"] > 1_000_000
    [machine] = shown["machines"]
    assert machine["cpu"] > 0
    assert machine["memory_bytes"] < machine["memory_total_bytes"]


def test_it_is_drawn_until_interrupted(
    stack: dict[str, str], environment: dict[str, str], home: Path
) -> None:
    command = pexpect.spawn(
        sys.executable, ["-m", "squall.cli", "top", "-d", "0.3"], cwd=str(home),
        env={**environment, **stack, "TERM": "xterm"}, dimensions=(40, 160), encoding="utf-8",
        timeout=60,
    )  # fmt: skip
    command.expect("calls/s")
    command.expect(re.compile(r"machine .*cores", re.DOTALL))
    command.expect("rn-")
    command.sendintr()
    command.expect(pexpect.EOF)
    command.close()
    assert command.exitstatus == 0
