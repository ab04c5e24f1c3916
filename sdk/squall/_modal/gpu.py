"""`modal.gpu`: GPUs as objects, from before they were plain strings such as `"A100-80GB:2"`."""

import warnings

from squall.exception import DeprecationError

__all__ = ["A10G", "A100", "H100", "L4", "L40S", "T4", "Any"]


def _name(kind: str, count: int) -> str:
    text = f"{kind}:{count}" if count > 1 else kind
    warnings.warn(f'write gpu="{text}" in place of modal.gpu', DeprecationError, stacklevel=3)
    return text


def T4(count: int = 1) -> str:  # noqa: N802 - Modal's name
    """The string for so many of this type."""
    return _name("T4", count)


def L4(count: int = 1) -> str:  # noqa: N802
    """Likewise."""
    return _name("L4", count)


def A10G(count: int = 1) -> str:  # noqa: N802
    """Likewise."""
    return _name("A10G", count)


def L40S(count: int = 1) -> str:  # noqa: N802
    """Likewise."""
    return _name("L40S", count)


def H100(count: int = 1) -> str:  # noqa: N802
    """Likewise."""
    return _name("H100", count)


def A100(count: int = 1, *, size: str | None = None, memory: int = 0) -> str:  # noqa: N802
    """Likewise; `size` as `"80GB"`, or `memory` in GB, chooses between 40 (the default) and 80."""
    big = size == "80GB" or memory == 80
    return _name("A100-80GB" if big else "A100-40GB", count)


def Any(count: int = 1) -> str:  # noqa: N802
    """Whatever there is."""
    return _name("any", count)
