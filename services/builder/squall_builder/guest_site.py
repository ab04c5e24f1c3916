"""The builder's own packages that a `run_function` step needs beside the image's."""

import importlib.util
import platform
import sys
from pathlib import Path
from typing import Final

from squall_contracts.images import DebianSlim, Recipe

from squall_builder.built import BuildError

PURE: Final = ("squall", "squall_contracts", "squall_bus", "squall_volumes")
"""Squall's own: any Python runs them."""
COMPILED: Final = ("cloudpickle", "msgspec")
"""Installed here for this Python and this machine."""
RUNNER: Final = Path(__file__).with_name("run_function.py")


def fits(recipe: Recipe) -> bool:
    """Whether the packages of this interpreter run in the image: same minor version, same libc."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        isinstance(recipe.base, DebianSlim)
        and ".".join(recipe.base.python_version.split(".")[:2]) == ours
        and platform.system() == "Linux"
        and platform.libc_ver()[0] == "glibc"
    )


def packages(compiled: bool) -> dict[str, Path]:
    """Directories by name of what goes into the image's site directory."""
    return {name: _directory(name) for name in PURE + (COMPILED if compiled else ())}


def _directory(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(f"the builder's environment lacks {name}: install squall[server] again")
    return Path(next(iter(spec.submodule_search_locations)))
