"""Which local files a function needs, and where they lie in the container."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squall_contracts.functions import FileEntry

from squall._image.files import file_entry

REMOTE_ROOT = "/root"


@dataclass(frozen=True)
class Source:
    """Where a function's code comes from.

    `module` is its importable name in the container. `files` maps paths there to local files;
    it is empty when the module is part of the image.
    """

    module: str
    files: dict[str, Path]
    importable: bool
    """False for a REPL, notebook or `python -c`: the function itself must be pickled."""


def entries(files: dict[str, Path]) -> tuple[FileEntry, ...]:
    """The wire form of `files`, sorted by path. InvalidError, NotFoundError name a bad one."""
    return tuple(file_entry(local, remote) for remote, local in sorted(files.items()))


def source_of(function: Callable[..., Any]) -> Source:
    """The source of the module that defines `function`: its file, or its whole package."""
    name = function.__module__
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    if name == "__main__" and spec is not None:
        name = spec.name  # python -m package.module
    file = getattr(module, "__file__", None)
    if module is None or file is None or not str(file).endswith(".py"):
        return Source(module=name, files={}, importable=name != "__main__")
    path = Path(file).absolute()
    if name == "__main__":
        # Containers know it by this name: exceptions and values of its classes come back under it.
        sys.modules.setdefault(path.stem, module)
        return Source(module=path.stem, files={f"{REMOTE_ROOT}/{path.name}": path}, importable=True)
    if "." in name or path.name == "__init__.py":
        return Source(module=name, files=_package_files(name, path), importable=True)
    return Source(module=name, files={f"{REMOTE_ROOT}/{path.name}": path}, importable=True)


def _package_files(module: str, path: Path) -> dict[str, Path]:
    """Every Python file of the top-level package `module` is in; hidden folders stay behind."""
    depth = module.count(".") + (1 if path.name == "__init__.py" else 0)
    root = path
    for _ in range(max(depth, 1)):
        root = root.parent
    if root.name != module.partition(".")[0]:
        # A file imported under a dotted name that its folders don't bear out: ship it alone.
        return {f"{REMOTE_ROOT}/{module.replace('.', '/')}.py": path}
    return {
        f"{REMOTE_ROOT}/{file.relative_to(root.parent).as_posix()}": file
        for file in root.rglob("*.py")
        if not any(part.startswith(".") for part in file.relative_to(root).parts)
    }
