"""Where the source of an importable module lies, and where a container finds it."""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path
from typing import Final

from squall._image.files import walk
from squall.exception import ModuleNotMountable
from squall.file_pattern_matcher import NON_PYTHON_FILES, Ignore

ROOT: Final = "/root"
"""On `sys.path` of every container."""


def python_source_entries(
    module_name: str, ignore: Ignore = NON_PYTHON_FILES
) -> list[tuple[str, Path]]:
    """(absolute path in the container, local file) of a module's source files.

    A package gives its whole directory at `/root/<package>`, a module its one file. The module
    isn't imported, but the packages around it are. `ignore` sees paths relative to the package.
    ModuleNotMountable: it can't be found here, or has no source.
    """
    directories, file = _locate(module_name)
    place = f"{ROOT}/{module_name.replace('.', '/')}"
    if not directories:
        return [] if ignore(Path(file.name)) else [(f"{place}.py", file)]
    found: dict[str, Path] = {}
    for directory in directories:
        for relative, path in walk(directory, ignore):
            found.setdefault(f"{place}/{relative}", path)
    return sorted(found.items())


def _locate(module_name: str) -> tuple[list[Path], Path]:
    try:
        spec = _spec(module_name)
    except (ImportError, ValueError) as error:
        raise ModuleNotMountable(f"module {module_name!r} can't be found: {error}") from error
    if spec is None:
        raise ModuleNotMountable(
            f"module {module_name!r} can't be found here: install it, or put its folder on sys.path"
        )
    if spec.submodule_search_locations is not None:
        return [
            Path(place) for place in spec.submodule_search_locations if Path(place).is_dir()
        ], Path()
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise ModuleNotMountable(
            f"module {module_name!r} is not Python source ({spec.origin}): install it in the image"
        )
    return [], Path(spec.origin)


def _spec(module_name: str) -> importlib.machinery.ModuleSpec | None:
    """The spec of a module, also of one that was put in sys.modules by hand, without a spec."""
    loaded = sys.modules.get(module_name)
    if loaded is None or getattr(loaded, "__spec__", None) is not None:
        return importlib.util.find_spec(module_name)
    file = getattr(loaded, "__file__", None)
    return importlib.util.spec_from_file_location(module_name, file) if file else None
