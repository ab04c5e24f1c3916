"""A fleet on several hosts: three NATS servers and three runners, each a host; two of each service."""

import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.system.fleet import Fleet

from .disks import Disk
from .hosts import Hosts
from .plan import Fault

NATS = ("nats1", "nats2", "nats3")
RUNNERS = ("runner1", "runner2", "runner3")
SERVICES = tuple(
    f"{service}{number}"
    for service in ("gateway", "scheduler", "autoscaler", "cron", "builder")
    for number in (1, 2)
)
TARGETS = (*NATS, *RUNNERS, *SERVICES)


class Spread(Fleet):
    """Its services run on this machine, which is a host as the others are."""

    def __init__(self, state: Path, hosts: Hosts) -> None:
        self.hosts = hosts
        self.disks: dict[str, Disk] = {}
        super().__init__(state, "process", "0.0.0.0", nodes=len(NATS))

    def address(self, nats: str) -> str:
        return self.hosts.address(nats)

    def prefix(self, name: str) -> list[str]:
        return self.hosts.inside(name) if name in (*NATS, *RUNNERS) else []

    def prepare(self) -> None:
        for name in (*NATS, *RUNNERS):
            self.disks[name] = Disk(self.state / name)
        super().prepare()

    def down(self) -> None:
        try:
            super().down()
        finally:
            for disk in self.disks.values():
                disk.remove()

    def up(self) -> None:
        self.prepare()
        for name in NATS:
            self.start(name)
        self.start("gateway1")
        self.wait_ready("gateway1")
        rest = [name for name in (*SERVICES, *RUNNERS) if name != "gateway1"]
        for name in rest:
            self.start(name)
        for name in rest:
            self.wait_ready(name)


class Trouble:
    """Does what a plan says, in its time, and undoes it."""

    def __init__(self, fleet: Spread, plan: Sequence[Fault]) -> None:
        self._fleet = fleet
        self._threads = [
            threading.Thread(target=self._suffer, args=(fault,), daemon=True) for fault in plan
        ]
        self._began_s = 0.0
        self.errors: list[BaseException] = []

    def start(self) -> None:
        self._began_s = time.monotonic()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _suffer(self, fault: Fault) -> None:
        self._until(fault.at_s)
        try:
            self._begin(fault)
            self._until(fault.over_s)
            self._end(fault)
        except BaseException as error:  # noqa: BLE001 - told to whoever joins
            self.errors.append(error)

    def _until(self, at_s: float) -> None:
        time.sleep(max(0.0, self._began_s + at_s - time.monotonic()))

    def _begin(self, fault: Fault) -> None:
        hosts, process = self._fleet.hosts, self._fleet.processes[fault.target]
        match fault.kind:
            case "kill":
                self._fleet.kill(fault.target)
            case "pause":
                process.send_signal(signal.SIGSTOP)
            case "partition":
                hosts.cut(fault.target)
            case "slow":
                hosts.slow(fault.target)
            case "full":
                self._fleet.disks[fault.target].fill()

    def _end(self, fault: Fault) -> None:
        hosts, process = self._fleet.hosts, self._fleet.processes[fault.target]
        match fault.kind:
            case "kill":
                self._fleet.start(fault.target)
            case "pause":
                process.send_signal(signal.SIGCONT)
            case "partition":
                hosts.join(fault.target)
            case "slow":
                hosts.quicken(fault.target)
            case "full":
                self._make_room(fault.target)

    def _make_room(self, target: str) -> None:
        """A nats-server that could not write keeps to itself until it is started again."""
        self._fleet.disks[target].empty()
        if target in NATS:
            self._fleet.kill(target)
            self._fleet.start(target)
