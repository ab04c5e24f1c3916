"""Functions quick enough that a pause of the bus is what their caller notices."""

import squall

app = squall.App("clustered")


@app.function(min_containers=1, max_containers=1)
def square(x: int) -> int:
    return x * x


@app.function(min_containers=1, max_containers=2)
def double(x: int) -> tuple[int, int]:
    return x, 2 * x
