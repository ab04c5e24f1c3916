"""What the benchmarks call: functions that do nothing, kept warm in one, two or four containers."""

import squall

app = squall.App("bench")


@app.function(min_containers=1, max_containers=1, name="one")
def one(value: object = None) -> object:
    return value


@app.function(min_containers=2, max_containers=2, name="two")
def two(value: object = None) -> object:
    return value


@app.function(min_containers=4, max_containers=4, name="four")
def four(value: object = None) -> object:
    return value


@app.function(max_containers=1, scaledown_window=2, name="cold")
def cold(value: object = None) -> object:
    return value
