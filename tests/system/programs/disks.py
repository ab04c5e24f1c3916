"""Functions that fill their container's disk, within what they may and beyond it."""

import time
from pathlib import Path

import squall

app = squall.App("disks")
volume = squall.Volume.from_name("disks", create_if_missing=True)
queue = squall.Queue.from_name("disks", create_if_missing=True)
MIB = b"x" * 1024 * 1024


def _fill(path: str, mib: int) -> None:
    with Path(path).open("wb") as file:
        for _ in range(mib):
            file.write(MIB)


@app.function(ephemeral_disk=32)
def beyond(mib: int) -> str:
    """Ends by itself only if nobody ends it."""
    _fill("/tmp/big", mib)
    time.sleep(20)
    return "nobody minded"


@app.function(ephemeral_disk=32, volumes={"/data": volume})
def within(mib: int) -> str:
    """Writes more than its disk may hold to a volume, less beside it, and stays until told."""
    _fill("/data/big", mib)
    _fill("/tmp/small", 8)
    queue.put("filled", partition="said")
    return str(queue.get(timeout=60, partition="told"))
