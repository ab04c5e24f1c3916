"""The project's own modules as the architecture tests see them."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = {
    path.name: path
    for folder in (ROOT / "contracts", ROOT / "sdk", *sorted((ROOT / "services").iterdir()))
    if folder.is_dir()
    for path in sorted(folder.iterdir())
    if (path / "__init__.py").exists()
}
SERVICES = tuple(
    f"squall_{name}" for name in ("gateway", "builder", "scheduler", "autoscaler", "cron", "runner")
)


class Module(NamedTuple):
    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name.partition(".")[0]


@cache
def modules() -> tuple[Module, ...]:
    """Every module of every package, parsed."""
    return tuple(
        Module(_name(root, path), path, ast.parse(path.read_text(), str(path)))
        for root in PACKAGES.values()
        for path in sorted(root.rglob("*.py"))
    )


def _name(root: Path, path: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(module: Module) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of all a module imports but the standard library, wherever in it."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [_from(module, node)]
            case _:
                continue
        for name in names:
            if name.partition(".")[0] not in sys.stdlib_module_names:
                yield name, node.lineno


def _from(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".")
    if module.path.name != "__init__.py":
        package.pop()
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])
