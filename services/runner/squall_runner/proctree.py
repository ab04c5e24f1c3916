"""A process with all its descendants, and what they hold."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def tree(pid: int) -> list[int]:
    """`pid` and its descendants, as of about now."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:  # the thread, or its process, has ended meanwhile
                continue
    return found


def memory_bytes(pid: int) -> int:
    """What a process holds, shared pages counted in part; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def inside(pid: int, argv: Sequence[str]) -> list[str]:
    """`argv` as a command that sees what `pid` sees: mounts of its own, where it has any."""
    try:
        same = Path(f"/proc/{pid}/ns/mnt").readlink() == Path("/proc/self/ns/mnt").readlink()
    except PermissionError:
        same = True
    nsenter = shutil.which("nsenter")
    if same or nsenter is None:
        return list(argv)
    user = Path(f"/proc/{pid}/ns/user").readlink() != Path("/proc/self/ns/user").readlink()
    flags = ["--mount", "--root", "--wd", *(["--user", "--preserve-credentials"] if user else [])]
    return [nsenter, f"--target={pid}", *flags, "--", *argv]


def cpu_s(pid: int) -> float:
    """Processor time of a process and of the children it has waited for; 0 once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
