"""A schedule that is followed while everything breaks: deployed, for those of runs are not."""

import os
from pathlib import Path

import squall

app = squall.App("chaos-ticks")
DIARY = os.environ.get("CHAOS_DIARY", "")
"""A file of the machine, which its containers share."""


@app.function(
    schedule=squall.Period(seconds=2), env={"CHAOS_DIARY": DIARY}, max_containers=2, timeout=30
)
def tick() -> None:
    at, call = squall.current_scheduled_time(), squall.current_function_call_id()
    assert at is not None
    with Path(DIARY).open("a") as diary:
        diary.write(f"{at.timestamp()} {call}\n")
