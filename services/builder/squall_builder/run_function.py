"""Runs in an image while it is built: calls the pickled function of one `run_function` step.

Arguments: the step's directory (function.pkl, files/), the seconds it may take, and `image` or
`process`. Needs no more than the packages beside this file. In an image both directories are
removed when it is done.
"""

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType


def main() -> None:
    step = Path(sys.argv[1])
    timeout_s = float(sys.argv[2])
    in_image = sys.argv[3] == "image"
    site = Path(__file__).parent
    if in_image and Path.cwd() == Path("/"):
        os.chdir("/root")  # as in containers, unless the image has a working directory of its own
    home = "/root" if in_image else str(Path.cwd())
    sys.path[:] = [str(step / "files/root"), home, *sys.path[1:], str(site)]

    def out_of_time(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"run_function took longer than its timeout of {timeout_s:g} s")

    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    import cloudpickle

    function, args, kwargs = cloudpickle.loads((step / "function.pkl").read_bytes())
    function(*args, **kwargs)
    signal.setitimer(signal.ITIMER_REAL, 0)
    if in_image:
        shutil.rmtree(step)
        shutil.rmtree(site)


if __name__ == "__main__":
    main()
