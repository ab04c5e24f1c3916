"""The table of docs/modal-compatibility.md, from the signatures of the package modal and of squall."""

import importlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from squall._calling import forms
from squall._modal import spellings
from squall._modal.handle import Absent

from .notes import NOTES, REFUSED
from .ranks import Rank, rank

PAGE: Final = Path(__file__).parents[3] / "docs" / "modal-compatibility.md"
State = Literal["works", "refused", "missing"]
RUNNER: Final = {"DeployResult", "deploy_app"}
"""What Modal's documentation names of that module; the rest is its own."""
MODULES: Final = ("exception", "experimental", "runner", "types", "call_graph")
INSIDE: Final[dict[str, type]] = {
    "Function.remote": forms.Remote,
    "Function.remote_gen": forms.RemoteGen,
    "Function.spawn": forms.Spawn,
    "Function.map": forms.Map,
    "Function.starmap": forms.Starmap,
    "Function.for_each": forms.ForEach,
    "Function.spawn_map": forms.SpawnMap,
    "Function.experimental_spawn_map": forms.SpawnMapCall,
}
"""Members that each instance has of its own."""
_NOT_NAMES: Final = {
    "Any", "api_pb2", "dataclass", "datetime", "deprecation_warning", "flash", "flash_server",
    "stream", "synchronizer", "timezone", "timedelta", "enum", "field", "Decimal", "Iterable",
    "Iterator", "Mapping", "Optional", "Literal", "TypedDict", "FrozenInstanceError", "InvalidError",
    "types",
}  # fmt: skip
"""Found in Modal's modules, and no part of its API."""
_OWN_TO_MODAL: Final = {
    "Client": {"get_stub", "stub", "get_input_plane_metadata", "verify", "from_oauth_credentials"},
}
"""Members that only Modal's own code uses."""


class Row(NamedTuple):
    """One name."""

    name: str
    rank: Rank
    state: State
    remark: str


def rows() -> list[Row]:
    """Every public name of Modal's, in the order of the alphabet."""
    return [row for row in _rows() if not row.name.rpartition(".")[2].startswith("_")]


def _rows() -> Iterator[Row]:
    modal = importlib.import_module("modal")
    squall = importlib.import_module("squall")
    for name in sorted(set(modal.__all__) - {"Error", "experimental", "types", "billing"}):
        theirs, ours = getattr(modal, name), _get(squall, name)
        yield _row(name, theirs, ours)
        if inspect.isclass(theirs) and ours is not None and name not in REFUSED:
            for member in _members(theirs, name):
                full = f"{name}.{member}"
                found = INSIDE.get(full) or _get(ours, member)
                yield _row(full, inspect.getattr_static(theirs, member), found, theirs, ours)
    for module in MODULES:
        theirs = importlib.import_module(f"modal.{module}")
        ours = _module(module)
        for name in sorted(_names(theirs)):
            yield _row(f"{module}.{name}", getattr(theirs, name), _get(ours, name))


def _module(name: str) -> object:
    place = f"squall._modal.{name}" if name == "call_graph" else f"squall.{name}"
    return importlib.import_module(place)


def _names(module: Any) -> Iterator[str]:
    for name, value in vars(module).items():
        home = getattr(value, "__module__", "") or ""
        if name.startswith("_") or name in _NOT_NAMES or inspect.ismodule(value):
            continue
        if module.__name__ == "modal.runner" and name not in RUNNER:
            continue
        if home.startswith("modal") or home == "synchronicity.combined_types":
            yield name


def _members(kind: type, name: str) -> list[str]:
    own = _OWN_TO_MODAL.get(name, set())
    return sorted(each for each in dir(kind) if not each.startswith("_") and each not in own)


def _get(holder: object, name: str) -> Any:
    """The member; None if it is missing or refuses to be asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = getattr(holder, name, None)
    if found is None and name in getattr(holder, "__annotations__", {}):
        return _Attribute
    return found


def _refusal(name: str) -> str:
    """What an error says that asks for a name of a module; empty if it says no more than that."""
    module, _, member = name.rpartition(".")
    holder = importlib.import_module(f"squall.{module}" if module else "squall")
    try:
        getattr(holder, member)
    except AttributeError as error:
        _, _, text = str(error).partition(" is not available: ")
        return text
    return ""


class _Attribute:
    """A member that only instances have."""


def _row(name: str, theirs: Any, ours: Any, their_class: Any = None, our_class: Any = None) -> Row:
    del their_class
    remark = NOTES.get(name, "")
    if name in REFUSED:
        return Row(name, rank(name), "refused", REFUSED[name])
    if our_class is not None:
        absent = inspect.getattr_static(our_class, name.partition(".")[2], None)
        if isinstance(absent, Absent):
            return Row(name, rank(name), "refused", absent.text)
    if ours is None and (text := _refusal(name)):
        return Row(name, rank(name), "refused", text)
    if ours is None:
        return Row(name, rank(name), "missing", remark)
    lacking = missing_parameters(theirs, ours)
    if lacking:
        remark = f"{remark}; " * bool(remark) + "without " + ", ".join(f"`{x}`" for x in lacking)
    return Row(name, rank(name), "works", remark)


def missing_parameters(theirs: Any, ours: Any) -> list[str]:
    """Parameters of Modal's that ours would not take."""
    wanted, taken = _signature(theirs), _signature(ours)
    if wanted is None or taken is None:
        return []
    rest = {p.name for p in taken if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    names = {p.name for p in taken}
    if rest & {"kwargs", "options", "_options", "args"}:
        return []
    return [
        p.name
        for p in wanted
        if p.name not in names | {"self", "cls", "client", "kwargs"}
        and not p.name.startswith("_")
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and not (rest and spellings.known(p.name))
        and p.kind is p.KEYWORD_ONLY
    ]


def _signature(thing: Any) -> list[inspect.Parameter] | None:
    if isinstance(thing, property) or inspect.isclass(thing):
        return None
    if isinstance(thing, classmethod | staticmethod):
        thing = thing.__func__
    work: Callable[..., Any] = getattr(thing, "_work", thing)
    try:
        return list(inspect.signature(work).parameters.values())
    except (TypeError, ValueError):
        return None


def page() -> str:
    """The whole of docs/modal-compatibility.md."""
    found = rows()
    counts = {state: sum(row.state == state for row in found) for state in _STATES}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [INTRODUCTION, f"{len(found)} names: {told}.", ""]
    lines += ["| name | needed | state | remark |", "|---|---|---|---|"]
    lines += [f"| `{r.name}` | {r.rank} | {r.state} | {r.remark} |" for r in found]
    return "\n".join(lines) + "\n"


_STATES: Final[tuple[State, ...]] = ("works", "refused", "missing")
INTRODUCTION: Final = Path(__file__).with_name("introduction.md").read_text()
