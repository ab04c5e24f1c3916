"""What a start took, step by step, from the moment its process or its assignment was there."""

import os
import time
from pathlib import Path


class Phases:
    """Milliseconds by step, in the order of `squall_contracts.coldstart.GUEST_PHASES`."""

    def __init__(self) -> None:
        """From the process's own beginning on."""
        self.ms: dict[str, float] = {}
        stat = Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()
        began_s = int(stat[19]) / os.sysconf("SC_CLK_TCK")
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - began_s
        self._since_s = time.monotonic() - age_s

    def end(self, name: str) -> None:
        """What was done since the last call is called `name`."""
        now_s = time.monotonic()
        self.ms[name] = round((now_s - self._since_s) * 1000, 2)
        self._since_s = now_s

    def begin_anew(self) -> None:
        """What was done until now was done ahead, before anybody waited for this container."""
        self.ms.clear()
        self._since_s = time.monotonic()
