"""What the benchmarks call: functions that do nothing, each kept warm in a number of containers."""

import time

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
