"""Who listens where, as the kernel lists it: without a connection that a server would notice."""

from pathlib import Path
from typing import Final

LISTENS: Final = "0A"
"""The state of a socket that takes connections."""


def at(process_id: int, port: int) -> bool:
    """Whether a socket of this process's network takes connections at a TCP port. False once the
    process is gone."""
    wanted = f"{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{process_id}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *_ = line.split()
            if state == LISTENS and local.rpartition(":")[2] == wanted:
                return True
    return False
