"""Work that takes long enough to lose a machine under it."""

import os
import time
from pathlib import Path

import squall

app = squall.App("two-hosts")


@app.function(max_containers=2, scaledown_window=30)
def nap(number: int, seconds: float, diary: str) -> int:
    """Notes in `diary`, a directory of the machine, which process its container is."""
    Path(diary, os.environ["SQUALL_TASK_ID"]).write_text(str(os.getpid()))
    time.sleep(seconds)
    return number
