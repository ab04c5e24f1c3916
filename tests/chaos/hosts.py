"""Hosts on one machine: a network namespace each, joined by a bridge this machine has an address on."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Sequence

RATE = "4mbit"


def possible() -> bool:
    """Whether this machine can have such hosts: it takes root and iproute2."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        return False
    name = f"sqp{uuid.uuid4().hex[:8]}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    _run("ip", "netns", "del", name)
    return True


class Hosts:
    """Some hosts and the wires between them, this machine being one. Use as a context manager.

    The bridge has a namespace of its own, where this machine's firewall has no say.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._id = uuid.uuid4().hex[:6]
        self._switch = f"sq{self._id}-switch"
        number = int(self._id, 16)
        self._net = f"10.{200 + number % 50}.{number // 50 % 250}"
        self._numbers = {name: index + 2 for index, name in enumerate(names)}

    def __enter__(self) -> "Hosts":
        _run("ip", "netns", "add", self._switch)
        _run("ip", "-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "bridge", "up")
        own = f"sq{self._id}"
        _run(
            "ip", "link", "add", own, "type", "veth", "peer", "name", "near1", "netns", self._switch
        )
        _run("ip", "addr", "add", f"{self._net}.1/24", "dev", own)
        _run("ip", "link", "set", own, "up")
        _run("ip", "-n", self._switch, "link", "set", "near1", "master", "bridge", "up")
        for name in self._numbers:
            self._add(name)
        return self

    def __exit__(self, *_: object) -> None:
        for space in (*map(self._space, self._numbers), self._switch):
            subprocess.run(["ip", "netns", "del", space], check=False)

    def _add(self, name: str) -> None:
        space, near = self._space(name), self._near(name)
        _run("ip", "netns", "add", space)
        wire = ["link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", space]
        _run("ip", "-n", self._switch, *wire)
        _run("ip", "-n", self._switch, "link", "set", near, "master", "bridge", "up")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        _run("ip", "-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        _run("ip", "-n", space, "link", "set", "eth0", "up")

    def _space(self, name: str) -> str:
        return f"sq{self._id}-{name}"

    def _near(self, name: str) -> str:
        """The switch's end of a host's wire."""
        return f"near{self._numbers[name]}"

    def address(self, name: str) -> str:
        return f"{self._net}.{self._numbers[name]}"

    @property
    def own_address(self) -> str:
        """This machine's, among them."""
        return f"{self._net}.1"

    def inside(self, name: str) -> list[str]:
        """What a command line begins with to run on a host, which shares all but the network: what a
        process of its mounts, one that is started later sees."""
        return ["nsenter", f"--net=/run/netns/{self._space(name)}"]

    def cut(self, name: str) -> None:
        """Pull a host's wire: what is sent is lost, and nobody is told."""
        _run("ip", "-n", self._switch, "link", "set", self._near(name), "down")

    def join(self, name: str) -> None:
        _run("ip", "-n", self._switch, "link", "set", self._near(name), "up")

    def slow(self, name: str) -> None:
        """Little goes through, and that late."""
        shape = ["root", "tbf", "rate", RATE, "burst", "32kbit", "latency", "400ms"]
        _run("tc", "-n", self._switch, "qdisc", "add", "dev", self._near(name), *shape)

    def quicken(self, name: str) -> None:
        _run("tc", "-n", self._switch, "qdisc", "del", "dev", self._near(name), "root")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
