"""What three replicas cost a warm call, and how long calls stop when the server that leads is killed.

    python -m tests.bench.cluster [--calls N] [--kills N]

One fleet with one nats-server and one with three, both up at once and measured in turns; then kills.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from squall import _client
from squall.config import Server, use_server
from squall_contracts import subjects

from tests.system.conftest import load
from tests.system.fleet import Fleet
from tests.system.test_cluster import Caller, leader

ROUNDS = 4


def use(fleet: Fleet) -> None:
    _client.shutdown()
    use_server(
        Server(url=fleet.url, credentials=str(fleet.credentials), runtime="process", source="bench")
    )


def calls_ms(fleet: Fleet, count: int) -> list[float]:
    use(fleet)
    module = load("clustered")
    taken: list[float] = []
    with module.app.run():
        for number in range(count + 30):
            began_s = time.perf_counter()
            module.square.remote(number)
            taken.append((time.perf_counter() - began_s) * 1000)
    return taken[30:]


def stalls_s(fleet: Fleet, kills: int) -> list[float]:
    """The longest pause of one caller around each kill of the server that leads CALLS."""
    use(fleet)
    module, found = load("clustered"), []
    with module.app.run():
        for _ in range(kills):
            caller = Caller(module)
            caller.start()
            caller.done(200)
            killed = leader(fleet, subjects.CALLS)
            caller.pauses_s.clear()
            fleet.kill(killed)
            caller.done(200)
            caller.join()
            found.append(max(caller.pauses_s))
            fleet.start(killed)
            time.sleep(10)  # until it has caught up: another kill would leave no majority
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="squall-bench-") as home:
        one = Fleet(Path(home) / "one", "process", "127.0.0.1")
        three = Fleet(Path(home) / "three", "process", "127.0.0.1", nodes=3)
        try:
            one.up()
            three.up()
            taken: dict[str, list[float]] = {"one": [], "three": []}
            for _ in range(ROUNDS):
                taken["one"] += calls_ms(one, options.calls // ROUNDS)
                taken["three"] += calls_ms(three, options.calls // ROUNDS)
            r1, r3 = (statistics.median(taken[name]) for name in ("one", "three"))
            print(
                json.dumps(
                    {
                        "what": "warm call p50, R3 over R1",
                        "r1_ms": r1,
                        "r3_ms": r3,
                        "ratio": r3 / r1,
                    }
                )
            )
            one.down()
            print(
                json.dumps(
                    {"what": "stall at a kill of the leader", "s": stalls_s(three, options.kills)}
                )
            )
        finally:
            _client.shutdown()
            one.down()
            three.down()


if __name__ == "__main__":
    main()
