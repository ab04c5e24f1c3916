"""Which process a spare container belongs to, and whether that process still lives.

A runner that is killed can't remove what it kept ready. The next runner on the machine does.
"""

import os
from pathlib import Path


def start_ticks(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat: with the pid it names a process for good. Empty: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def own_name() -> str:
    """This process's, with the namespace its pid counts in."""
    return f"{_namespace()}:{os.getpid()}:{start_ticks(os.getpid())}"


def is_dead(name: str) -> bool:
    """Whether the process of that name is known to be gone; one we can't see is not."""
    namespace, _, rest = name.partition(":")
    pid, _, ticks = rest.partition(":")
    if not ticks or namespace != _namespace() or not pid.isdecimal():
        return False
    return start_ticks(int(pid)) != ticks


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""
