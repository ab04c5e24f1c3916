"""A container that is there to be looked at."""

import os
import time
from collections.abc import Iterator

import squall

app = squall.App("waiting")


@app.function(env={"WAITS": "waiting"}, min_containers=0)
def wait() -> Iterator[str]:
    yield os.environ["SQUALL_TASK_ID"]
    time.sleep(600)
