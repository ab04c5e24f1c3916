"""Everything at once, on several hosts, while they and what runs on them die, stop and lose touch.

SQUALL_CHAOS_MINUTES (default: 18 seconds) and SQUALL_CHAOS_SEEDS (a list, default: 1) say how long and
which faults; a seed gives the same faults again.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from squall import _client
from squall._sync import run
from squall.runner import deploy_app
from squall_contracts.apps import ListContainers
from squall_contracts.placement import ENDED

from tests.system.conftest import load_file, running

from .history import Answered, Event, Fetched, Got, Left, Put, Read, Ticked, violations
from .hosts import Hosts, possible
from .load import Load
from .plan import Fault, plan
from .spread import NATS, RUNNERS, TARGETS, Spread, Trouble

MINUTES = float(os.environ.get("SQUALL_CHAOS_MINUTES", "0.3"))
SEEDS = [int(seed) for seed in os.environ.get("SQUALL_CHAOS_SEEDS", "1").split(",")]
HERE = Path(__file__).parent
SETTLES_WITHIN_S = 40
RECOVERS_WITHIN_S = 60


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Spread]:
    if not possible():
        pytest.skip("hosts of their own take root, network namespaces and iproute2")
    with Hosts([*NATS, *RUNNERS]) as hosts, running(Spread(tmp_path, hosts)) as found:
        yield found


def left_behind() -> list[Left]:
    """Containers that have not ended, once none does any more or the time is over."""

    async def live() -> list[str]:
        client = await _client.connected()
        listed = (await client.control(ListContainers(all=True))).containers
        return [record.container_id for record in listed if record.state not in ENDED]

    until_s = time.monotonic() + SETTLES_WITHIN_S
    while (found := run(live())) and time.monotonic() < until_s:
        time.sleep(0.5)
    return [Left(container) for container in found]


def ticks(diary: Path) -> list[Ticked]:
    lines = [line.split() for line in diary.read_text().splitlines()]
    return [Ticked(float(due), call) for due, call in lines]


def write_down(load: Load, faults: Sequence[Fault], to: Path) -> None:
    """Beside the logs, for whoever asks what broke a promise."""
    lines = [f"{at_s:7.2f} {event}\n" for at_s, event in load.seen]
    to.write_text("".join([*(f"{fault}\n" for fault in faults), *lines]))


@pytest.mark.slow
@pytest.mark.timeout(400 + 120 * MINUTES * len(SEEDS))
@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_whatever_dies(
    fleet: Spread, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary = tmp_path / "ticks"
    diary.touch()
    monkeypatch.setenv("CHAOS_DIARY", str(diary))
    module, ticking = load_file(HERE / "chaos_app.py"), load_file(HERE / "chaos_ticks.py")
    deploy_app(ticking.app)
    with module.app.run():
        assert module.square.remote(3) == 9
        callers = Load(module, [fleet.web_port(name) for name in ("gateway1", "gateway2")])
        faults = plan(seed, 60 * MINUTES, TARGETS)
        trouble = Trouble(fleet, faults)
        callers.start()
        trouble.start()
        try:
            trouble.join()
            missing = callers.missing([Answered, Put, Got, Read, Fetched], RECOVERS_WITHIN_S)
        finally:
            callers.stop()
            ticking.app.stop()
    write_down(callers, faults, fleet.state / "history")
    assert callers.unexpected == []
    history: list[Event] = [*callers.history, *ticks(diary), *left_behind()]
    assert violations(history) == []
    assert missing == set()  # of all that goes on once nothing is broken any more
    assert any(isinstance(event, Ticked) for event in history)
