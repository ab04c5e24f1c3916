"""How much a container may write outside its volumes, and when that was too much. Pure."""

import math
from typing import Final

MIB: Final = 1024 * 1024


def allowed_mib(own: int | None, most: int | None) -> int | None:
    """MiB a container may write; None: there is no limit.

    `own`: what its function says, None: nothing. `most`: what its runner gives to any, None: no limit.
    """
    return min((each for each in (own, most) if each is not None), default=None)


def complaint(written_bytes: int, *, own_mib: int | None, most_mib: int | None) -> str:
    """Why a container that has written so much must be ended; empty: it may live on. The limits are
    those of `allowed_mib`."""
    allowed = allowed_mib(own_mib, most_mib)
    if allowed is None or written_bytes <= allowed * MIB:
        return ""
    whose = "ephemeral_disk" if allowed == own_mib else "this machine"
    return (
        f"the container was ended: it wrote {math.ceil(written_bytes / MIB):,} MiB of files "
        f"outside volumes, {whose} allows {allowed:,} MiB"
    )
