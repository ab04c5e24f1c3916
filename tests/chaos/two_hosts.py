"""Work that takes long enough to lose a machine under it."""

import time

import squall

app = squall.App("two-hosts")


@app.function(max_containers=2, scaledown_window=30)
def nap(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number
