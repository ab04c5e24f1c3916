"""Functions whose containers are counted while many calls wait."""

import itertools
import threading
import time

import squall

app = squall.App("scaling")


@app.function(max_containers=4, scaledown_window=2)
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(max_containers=10, scaledown_window=60)
def wide(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function(max_containers=10, scaledown_window=60)
def wide_naps(number: float) -> float:
    time.sleep(1.0)
    return time.time()


@app.function(cpu=1.0, max_containers=1, scaledown_window=60)
def one_at_a_time(number: float) -> float:
    time.sleep(1.0)
    return time.time()


@app.function(max_containers=1, scaledown_window=60)
def stamp(seconds: float) -> float:
    time.sleep(seconds)
    return time.time()


numbers = itertools.count(1)


@app.function(max_containers=1, scaledown_window=60)
def place_in_line(seconds: float) -> int:
    """How many inputs the container has run, this one included."""
    number = next(numbers)
    time.sleep(seconds)
    return number


three = threading.Barrier(3)


@app.function(max_containers=1, max_inputs=3)
def meet(number: int) -> int:
    """Returns only where three inputs run at once."""
    three.wait(30)
    return number
