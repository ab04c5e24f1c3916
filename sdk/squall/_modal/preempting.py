"""`simulate_preemption`: a container's end, as if its machine went away."""

import os
import random
import signal
import threading

from squall import _container


def interrupt_after(wait_s: float, jitter_s: float) -> None:
    """SIGINT to this process after `wait_s` and up to `jitter_s` seconds. ExecutionError outside of a
    container; ValueError for negative ones."""
    _container.inside("simulate_preemption")
    if wait_s < 0 or jitter_s < 0:
        raise ValueError("wait_seconds and jitter_seconds can't be negative")
    timer = threading.Timer(
        wait_s + random.uniform(0, jitter_s), os.kill, (os.getpid(), signal.SIGINT)
    )
    timer.daemon = True
    timer.start()
