"""Functions that keep files in a volume."""

import os
import signal
import time
from pathlib import Path

import squall

app = squall.App("volumes")
volume = squall.Volume.from_name("system", create_if_missing=True)
MOUNTED = {"/data": volume}


@app.function(volumes=MOUNTED)
def write(path: str, text: str) -> str:
    """Write and commit."""
    place = Path("/data") / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    volume.commit()
    return os.environ["SQUALL_TASK_ID"]


@app.function(volumes=MOUNTED)
def read(path: str) -> str:
    volume.reload()
    return (Path("/data") / path).read_text()


@app.function(volumes=MOUNTED)
def reload_with_a_file_open(path: str) -> str:
    with (Path("/data") / path).open():
        try:
            volume.reload()
        except RuntimeError as error:
            return str(error)
    return "reloaded"


@app.function(volumes=MOUNTED, single_use_containers=True)
def leave(path: str, text: str) -> None:
    """Write, and leave the commit to the end of the container."""
    (Path("/data") / path).write_text(text)
    (Path("/data") / f"{path}.link").symlink_to(path)
    (Path("/data") / "leer" / "ü").mkdir(parents=True, exist_ok=True)


@app.function(volumes=MOUNTED)
def write_and_be_killed(path: str, text: str) -> None:
    (Path("/data") / path).write_text(text)
    os.kill(os.getpid(), signal.SIGKILL)


@app.function(volumes=MOUNTED)
def write_and_stay(path: str, text: str) -> None:
    (Path("/data") / path).write_text(text)
    time.sleep(600)


@app.function(
    volumes={"/data/deep/part": volume.with_mount_options(sub_path="data", read_only=True)}
)
def part() -> tuple[list[str], str]:
    """What a part mounted read-only holds, and what writing to it says."""
    root = Path("/data/deep/part")
    try:
        (root / "new").write_text("no")
    except OSError as error:
        return sorted(path.name for path in root.iterdir()), str(error.strerror)
    return [], "written"


@app.function()
def without() -> str:
    try:
        volume.commit()
    except RuntimeError as error:
        return str(error)
    return "committed"
