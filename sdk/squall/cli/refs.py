"""Reading what a command names: `FILE`, `FILE::function`, `FILE::Class.method`, each with `app.` before
its name if need be, `-m module::…`."""

import re
from pathlib import Path
from typing import NamedTuple

from squall.exception import InvalidError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*){0,2}")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Reference(NamedTuple):
    """Where to look (`path` for a file, `module` for an importable name) and for what."""

    path: Path | None
    module: str | None
    name: str | None
    """`function`, `Class.method`, either behind `app.`, or for deploy `app`; None: pick the only one
    there is."""

    @property
    def place(self) -> str:
        """What was named, without the function, for messages."""
        return str(self.path) if self.path is not None else str(self.module)


def parse(text: str, *, as_module: bool) -> Reference:
    """The parts of `text`. InvalidError names what is wrong with it and how to write it."""
    place, separator, name = text.partition("::")
    if separator and not _NAME.fullmatch(name):
        raise InvalidError(
            f"{text!r}: {name!r} can't name a function: write FILE::function, FILE::Class.method "
            "or FILE::app.function"
        )
    if as_module:
        return Reference(None, _module(place), name or None)
    return Reference(_file(place), None, name or None)


def function_of(text: str) -> tuple[str, str]:
    """App and function of `APP::FUNCTION`. InvalidError for anything else."""
    place, separator, name = text.partition("::")
    if not place or not separator or not name:
        raise InvalidError(f"{text!r}: write APP::FUNCTION")
    return place, name


def _module(place: str) -> str:
    if not _MODULE.fullmatch(place):
        raise InvalidError(
            f"{place!r} is not a module name: with -m write package.module, not a path"
        )
    return place


def _file(place: str) -> Path:
    path = Path(place)
    if place and path.is_dir():
        raise InvalidError(f"{place} is a folder: name a .py file in it, or a module with -m")
    if path.suffix != ".py":
        if _MODULE.fullmatch(place) and not path.exists():
            raise InvalidError(f"{place!r} is not a .py file: for a module write -m {place}")
        raise InvalidError(f"{place!r} is not a .py file: name one, or a module with -m")
    if not path.exists():
        raise InvalidError(f"{place} does not exist: check the path (from {Path.cwd()})")
    return path
