"""From a file or module name to the apps, functions and entrypoints in it."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from squall._declaring.lifecycle import parts
from squall.app import App, LocalEntrypoint
from squall.cls import Cls
from squall.exception import InvalidError
from squall.function import Function


class ClassMethod(NamedTuple):
    """A method of a class, before it is known which instance."""

    cls: Cls
    method: str

    @property
    def name(self) -> str:
        return f"{self.cls.name}.{self.method}"

    @property
    def app(self) -> App | None:
        return self.cls.app

    @property
    def raw(self) -> Callable[..., Any]:
        """The user's own function, `self` first."""
        raw: Callable[..., Any] = self.cls.parts.methods[self.method].raw
        return raw


Runnable = LocalEntrypoint[..., Any] | Function[..., Any, Any] | ClassMethod


def load_module(ref: str, *, as_module: bool = False) -> ModuleType:
    """Import `path/to/file.py`, or with `as_module` (or without `.py`) the module of that name.

    A file is imported under its stem, its folder first on sys.path. InvalidError: there is no such
    file or module. Errors of the module's own code pass through as they are.
    """
    if as_module or not ref.endswith(".py"):
        return _import_name(ref)
    path = Path(ref)
    if not path.is_file():
        raise InvalidError(f"{ref}: there is no such file")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise InvalidError(f"{ref}: can't be imported as a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(path.stem, None)
        raise
    return module


def _import_name(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name:
        raise InvalidError(f"{name} is a path: leave out -m, or write the module's name")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidError(
                f"{name}: there is no such module, nor a file of that name"
            ) from None
        raise


def find_apps(module: ModuleType) -> dict[str, App]:
    """The module's apps by the variable that holds them."""
    return {name: value for name, value in vars(module).items() if isinstance(value, App)}


def find_runnables(module: ModuleType) -> dict[str, Runnable]:
    """Everything that can be run, by name; also as `app.name`, which tells several apps apart."""
    found: dict[str, Runnable] = {}
    for variable, app in find_apps(module).items():
        things: dict[str, Runnable] = {**app.functions, **_methods(app), **app.entrypoints}
        for name, thing in things.items():
            found.setdefault(name, thing)
            found[f"{variable}.{name}"] = thing
    for name, value in vars(module).items():
        if isinstance(value, LocalEntrypoint | Function):
            found[name] = value
    return found


def _methods(app: App) -> dict[str, ClassMethod]:
    """The methods of the app's classes, by `Class.method`."""
    found = {}
    for declared in app.declared.values():
        if declared.options.methods:
            cls = Cls._new(declared, parts=parts(declared.raw))  # type: ignore[arg-type]
            for method in declared.options.methods:
                made = ClassMethod(cls, method.name)
                found[made.name] = made
    return found


def pick(module: ModuleType, name: str | None) -> Runnable:
    """The runnable of that name; without one, the only entrypoint, else the only function or method.

    InvalidError lists what there is when nothing, or more than one thing, fits.
    """
    found = find_runnables(module)
    choices = sorted({thing.name for thing in found.values()})
    listed = ", ".join(choices) or "none: decorate one with @app.function()"
    if name is not None:
        if name not in found:
            raise InvalidError(f"{module.__name__} has nothing named {name!r}; it has: {listed}")
        return found[name]
    for kinds in ((LocalEntrypoint,), (Function, ClassMethod)):
        fitting = {id(thing): thing for thing in found.values() if isinstance(thing, kinds)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if len(fitting) > 1:
            break
    raise InvalidError(f"{module.__name__}: say what to run, as in FILE::NAME; there is: {listed}")
