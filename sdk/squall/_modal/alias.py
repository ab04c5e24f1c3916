"""Makes `import modal` mean Squall in this process, where that was asked for.

The command line's `--modal` asks for it, or SQUALL_MODAL=1; containers of functions that were declared
under it have it, too. `modal` and its modules then are Squall's own modules under a second name, so
that nothing exists twice: what is pickled goes by Squall's names.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

VARIABLE: Final = "SQUALL_MODAL"
_ELSEWHERE: Final = {
    "environments": "squall.environment",
    **{
        name: f"squall._modal.{name}"
        for name in ("call_graph", "functions", "gpu", "mount", "output", "partial_function")
    },
    "scheduler_placement": "squall._modal.placement",
}
"""Modules of Modal's that have another name here."""


class _Same(Loader):
    """Loads a module by taking the one that is there under another name."""

    def __init__(self, home: str) -> None:
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._home)
        self._own = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._own  # the import system has written that of the second name over it


class _Finder(MetaPathFinder):
    """Finds `modal` and everything below it."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """ModuleNotFoundError for a module of Modal's that Squall lacks: looking on would find
        Squall's own file and load it a second time."""
        top, _, rest = fullname.partition(".")
        if top != "modal":
            return None
        home = _home(rest)
        if home is None:
            raise ModuleNotFoundError(
                f"No module named {fullname!r}: Squall stands in for modal, and has no such module; "
                "docs/modal-compatibility.md lists what there is",
                name=fullname,
            )
        return ModuleSpec(fullname, _Same(home))


def _home(rest: str) -> str | None:
    """Where Squall has what is `modal.<rest>`; None: nowhere."""
    if not rest:
        return "squall"
    home = _ELSEWHERE.get(rest, f"squall.{rest}")
    if any(part.startswith("_") for part in rest.split(".")) or rest.partition(".")[0] == "cli":
        return None
    return home if importlib.util.find_spec(home) is not None else None


def asked() -> bool:
    """Whether SQUALL_MODAL asks for it. Set and not 0."""
    return os.environ.get(VARIABLE, "0") not in ("", "0")


def installed() -> bool:
    """Whether `import modal` means Squall in this process."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def install() -> str | None:
    """From now on `import modal` means Squall here and in processes this one starts. Returns where an
    installed package modal is that is left aside by this, None: there is none. ImportError: that
    package was imported already."""
    if installed():
        return None
    known = sys.modules.get("modal")
    if known is not None:
        raise ImportError(
            f"modal is imported already, from {getattr(known, '__file__', None)}: "
            "Squall can only stand in for it from the start"
        )
    real = importlib.util.find_spec("modal")
    sys.meta_path.insert(0, _Finder())
    os.environ[VARIABLE] = "1"
    return None if real is None else (real.origin or "elsewhere")


def use(wanted: bool = False) -> None:
    """As `install` where it is wanted or SQUALL_MODAL asks for it; says on stderr what it leaves
    aside. ImportError."""
    if wanted or asked():
        real = install()
        if real is not None:
            print(  # noqa: T201 - to a person
                f"squall: `import modal` means Squall here; the package at {real} is left aside",
                file=sys.stderr,
            )


class _First:
    """Pickles as a call of `use`: what comes after it in a pickle finds modal."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[bool]]:
        return use, (True,)


class _Behind:
    """Pickles as `thing`, behind a `_First`."""

    def __init__(self, thing: Callable[..., Any]) -> None:
        self._thing = thing

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return _second, (_First(), self._thing)


def _second(_first: None, thing: Callable[..., Any]) -> Callable[..., Any]:
    return thing


def carried(function: Callable[..., Any]) -> Any:
    """What to pickle in place of `function`, so that its module finds modal where it is unpickled, if
    this process does."""
    return _Behind(function) if installed() else function
