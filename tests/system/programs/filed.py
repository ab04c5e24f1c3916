"""One container, to look at from outside: it says which it is, and does what it is told."""

import os
import subprocess
from pathlib import Path

import squall

app = squall.App("filed")


@app.function(max_containers=1)
def run(script: str) -> tuple[str, str]:
    """(container id, what the script printed), run where the container's own files begin."""
    base = Path(os.environ["HOME"]).parent
    done = subprocess.run(
        ["/bin/sh", "-c", script], cwd=base, capture_output=True, text=True, check=False
    )
    return os.environ["SQUALL_TASK_ID"], done.stdout + done.stderr
