"""Scenario 8: retries, failures for good, timeouts, containers that die."""

import os
import signal
import time
from pathlib import Path

import squall

app = squall.App("faults")


class CustomError(Exception):
    """An exception type of the user's own."""

    def __init__(self, code: int) -> None:
        super().__init__(f"custom failure {code}")
        self.code = code

    def __reduce__(self) -> tuple[type["CustomError"], tuple[int]]:
        return CustomError, (self.code,)


def _attempt(key: str) -> int:
    """Count attempts in a file of the one container that runs them."""
    path = Path(f"/tmp/squall-attempts-{key}")
    with path.open("a") as log:
        log.write(f"{time.time()}\n")
    return len(path.read_text().splitlines())


@app.function(retries=squall.Retries(max_retries=3, initial_delay=1.0), max_containers=1)
def third_time_lucky(key: str) -> list[float]:
    if _attempt(key) < 3:
        raise ValueError("not yet")
    return [float(line) for line in Path(f"/tmp/squall-attempts-{key}").read_text().splitlines()]


@app.function(
    retries=squall.Retries(max_retries=3, initial_delay=1.0, max_delay=1.0), max_containers=1
)
def never(key: str) -> None:
    attempt = _attempt(key)
    raise CustomError(attempt)


@app.function(timeout=1)
def sleeps(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.function(min_containers=2, max_containers=2)
def naps(seconds: float) -> tuple[str, float]:
    """Sleep, and say which container did it."""
    time.sleep(seconds)
    return os.environ["SQUALL_TASK_ID"], seconds


@app.function()
def always_dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.function()
def exits() -> None:
    raise SystemExit(3)


@app.function()
def unpicklable_result() -> object:
    return (number for number in range(3))


@app.function()
def unpicklable_error() -> None:
    class Local(Exception):
        def __reduce__(self) -> str:
            raise TypeError("can't pickle me")

    raise Local("local trouble")


@app.function(retries=1)
def refuses_sizes(data: bytes) -> None:
    raise ValueError(f"not of this size: {len(data)}")
