"""The uv binary this builder brings along."""

import platform
from pathlib import Path


def uv_binary() -> Path | None:
    """uv as installed beside the builder; None where it can't run in a Linux container."""
    if platform.system() != "Linux":
        return None
    return host_uv()


def host_uv() -> Path:
    """uv as installed beside the builder, to run on this machine."""
    import uv

    return Path(uv.find_uv_bin())
