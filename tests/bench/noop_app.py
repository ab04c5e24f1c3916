"""What the benchmarks call: functions that do nothing, each kept warm in a number of containers."""

import importlib
import os
import time
from typing import Any

import squall


def noop(value: object = None) -> object:
    """Give back what came."""
    return value


def app(containers: int) -> "tuple[squall.App, squall.Function[..., object, object]]":
    """An app whose one function is kept in `containers` containers; 0: from zero, one at most."""
    own = squall.App(f"bench-{containers}")
    function = own.function(
        name="noop",
        serialized=True,
        min_containers=containers,
        max_containers=max(containers, 1),
        scaledown_window=2,
    )(noop)
    return own, function


def nap(seconds: float) -> None:
    """Take so long."""
    time.sleep(seconds)


def napping(containers: int) -> "tuple[squall.App, squall.Function[..., object, object]]":
    """An app whose one function has up to `containers` containers, and none to begin with."""
    own = squall.App("bench-nap")
    return own, own.function(name="nap", serialized=True, max_containers=containers)(nap)


def heavy_imports() -> None:
    """What a class of a scientific kind does before its first input."""
    for name in ("numpy", "scipy.linalg", "scipy.optimize", "scipy.stats"):
        importlib.import_module(name)


class Held:
    """Loads ahead of its start."""

    @squall.enter(snap=True)
    def load(self) -> None:
        heavy_imports()

    @squall.method()
    def where(self) -> str:
        """The container it runs in."""
        return os.environ["SQUALL_TASK_ID"]


class Fresh:
    """Loads when it starts."""

    @squall.enter()
    def load(self) -> None:
        heavy_imports()

    @squall.method()
    def where(self) -> str:
        """The container it runs in."""
        return os.environ["SQUALL_TASK_ID"]


def science() -> tuple[squall.App, Any, Any]:
    """An app of two classes that import numpy and scipy before their first input, the first with a
    memory snapshot, the second without, one container each, from zero; and their methods."""
    image = squall.Image.debian_slim("3.11").pip_install("numpy", "scipy")
    own = squall.App("bench-science", image=image)
    held: Any = own.cls(
        serialized=True, max_containers=1, scaledown_window=2, enable_memory_snapshot=True
    )(Held)
    fresh: Any = own.cls(serialized=True, max_containers=1, scaledown_window=2)(Fresh)
    return own, held().where, fresh().where


def on_image_of_its_own(name: str) -> "tuple[squall.App, squall.Function[..., object, object]]":
    """An app whose image nobody else uses."""
    own = squall.App(name, image=squall.Image.debian_slim("3.11").env({"NAME": name}))
    return own, own.function(name="noop", serialized=True, max_containers=1)(noop)
