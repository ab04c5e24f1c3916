"""The shape of modules: their size, what a pure core may hold, and who spells subjects."""

import ast
import re
from collections.abc import Iterator

import pytest

from .tree import PACKAGES, ROOT, Module, modules

LINES_AT_MOST = 400
IMPURE = {
    "anyio", "asyncio", "logging", "os", "random", "secrets", "socket", "structlog", "subprocess",
    "threading", "time", "uuid",
}  # fmt: skip
CLOCKS = {"now", "today", "utcnow"}
SUBJECT = re.compile(
    r"(call|retry|reply|result|dead|cancel|superseded|log|up|down|build|command|event|platform|dict|queue|room|terminal|tunnel)"
    r"(\.([A-Za-z0-9_]+|[*>]|\x00))*\.([*>]|\x00)"
)
"""A subject with something put in or left open; \\x00 stands for the `{…}` of an f-string."""
SPELLERS = {
    "squall_contracts.subjects",
    "squall_contracts.web_subjects",
    "squall_contracts.image_subjects",
    "squall_contracts.state_subjects",
    "squall_contracts.version_subjects",
    "squall_contracts.access_subjects",
    "squall_contracts.viewing_subjects",
    "squall_contracts.terminal_subjects",
    "squall_contracts.sandbox_subjects",
    "squall_contracts.sandbox_file_subjects",
    "squall_contracts.rights",
}
STREAMS = {
    "CALLS",
    "REPLIES",
    "RESULTS",
    "DEAD",
    "LOGS",
    "BUILDS",
    "COMMANDS",
    "EVENTS",
    "DICTS",
    "QUEUES",
    "TAKEN",
}

everything = pytest.mark.parametrize("module", modules(), ids=lambda module: module.name)
PURE = re.compile(r"\bPure\.$")
"""How the docstring of a module ends that holds to the rules of a core, whatever its name."""
cores = pytest.mark.parametrize(
    "module",
    [
        m
        for m in modules()
        if m.path.name == "core.py" or PURE.search((ast.get_docstring(m.tree) or "").strip())
    ],
    ids=lambda module: module.name,
)


@everything
def test_module_has_one_job_and_few_lines(module: Module) -> None:
    lines = len(module.path.read_text().splitlines())
    assert lines <= LINES_AT_MOST, f"{module.path} has {lines} lines: split it by what it does"


@everything
def test_module_says_what_it_is_for(module: Module) -> None:
    if module.path.name == "__main__.py" or not module.tree.body:
        return
    assert ast.get_docstring(module.tree), f"{module.path} has no docstring"


@cores
def test_core_is_pure(module: Module) -> None:
    offences = [f"{module.path}:{line}: {what}" for what, line in _impurities(module)]
    assert not offences, "\n".join(offences)


def _impurities(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield "awaits", node.lineno
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.partition(".")[0] in IMPURE:
                        yield f"imports {alias.name}", node.lineno
            case ast.ImportFrom(module=str(name)) if name.partition(".")[0] in IMPURE:
                yield f"imports {name}", node.lineno
            case ast.Call(func=ast.Attribute(attr=attribute)) if attribute in CLOCKS:
                yield f"reads a clock ({attribute})", node.lineno
            case _:
                pass


@everything
def test_subjects_are_spelled_in_one_module(module: Module) -> None:
    if module.name in SPELLERS:
        return
    offences = [
        f"{module.path}:{line}: {text!r}"
        for text, line in _texts(module)
        if text in STREAMS or SUBJECT.fullmatch(text)
    ]
    assert not offences, "name it in squall_contracts.subjects:\n" + "\n".join(offences)


def _texts(module: Module) -> Iterator[tuple[str, int]]:
    """String constants and f-strings, docstrings left out."""
    skipped = {
        id(node.value)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    } | {
        id(part)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(module.tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno
        elif isinstance(node, ast.JoinedStr):
            yield "".join(_part(part) for part in node.values), node.lineno


def _part(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "\0"


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_package_is_typed(name: str) -> None:
    assert (PACKAGES[name] / "py.typed").exists()


def test_no_file_names_a_machine_or_a_registry() -> None:
    forbidden = re.compile(r"(?<![\w.])/(work|farm)/|files\.pythonhosted\.org")
    offences = [
        f"{path.relative_to(ROOT)}:{number}"
        for pattern in ("**/*.py", "**/*.md", "justfile", ".ci/*", "**/*.toml", "deploy/**/*")
        for path in ROOT.glob(pattern)
        if path.is_file() and ".venv" not in path.parts and path.name != "test_shape.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not offences, "\n".join(offences)
