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
    """`argv` as a command that sees what the guest of the container that is `pid` sees: mounts of
    its own, where it has any."""
    nsenter = shutil.which("nsenter")
    guest = next((each for each in tree(pid) if _is_apart(each, "mnt")), None)
    if guest is None or nsenter is None:
        return list(argv)
    user = ["--user", "--preserve-credentials"] if _is_apart(guest, "user") else []
    return [nsenter, f"--target={guest}", "--mount", "--root", "--wd", *user, "--", *argv]


def _is_apart(pid: int, kind: str) -> bool:
    """Whether a process is in another namespace of that kind than this one."""
    try:
        return Path(f"/proc/{pid}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink()
    except OSError:  # it has ended, or is not ours to look at
        return False


def cpu_s(pid: int) -> float:
    """Processor time of a process and of the children it has waited for; 0 once it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = stat.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
