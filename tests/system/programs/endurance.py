"""Many inputs, each slow enough that things can die meanwhile."""

import os
import time

import squall

app = squall.App("endurance")


@app.function(min_containers=3, max_containers=3)
def slow_square(x: int) -> tuple[int, int, str]:
    time.sleep(0.03)
    return x, x * x, os.environ["SQUALL_TASK_ID"]


@app.function(max_containers=1)
def long_nap(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ["SQUALL_TASK_ID"]
