"""Reading Dockerfiles: their instructions, and the local files those copy."""

import json
import shlex
from typing import Final, NamedTuple

COPYING: Final = ("COPY", "ADD")


class Instruction(NamedTuple):
    keyword: str
    """Upper case: `RUN`."""
    arguments: str
    """The rest, continuation lines joined."""
    first_line: int
    """Index of its first line in the text."""
    end_line: int
    """Index after its last line."""


def instructions(text: str) -> tuple[Instruction, ...]:
    """The instructions of a Dockerfile, in order: what the classic builder counts as steps."""
    text = text.removeprefix("\ufeff")
    escape = _escape(text)
    found: list[Instruction] = []
    parts: list[str] = []
    began = 0
    lines = text.split("\n")
    for number, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue  # also inside a continued instruction
        if not parts:
            began = number
        continued = stripped.endswith(escape)
        parts.append(stripped[:-1] if continued else stripped)
        if not continued:
            found.append(_instruction(parts, began, number + 1))
            parts = []
    if "".join(parts).strip():
        found.append(_instruction(parts, began, len(lines)))
    return tuple(found)


def _instruction(parts: list[str], began: int, end: int) -> Instruction:
    keyword, *rest = "".join(parts).split(None, 1)
    return Instruction(keyword.upper(), "".join(rest).strip(), began, end)


def _escape(text: str) -> str:
    for line in text.split("\n"):
        name, sign, value = line.lstrip("#").partition("=")
        if not line.startswith("#") or not sign:
            break  # parser directives stand before anything else
        if name.strip().lower() == "escape":
            return value.strip()
    return "\\"


def copied_sources(text: str) -> tuple[str, ...] | None:
    """Paths and patterns of the build context that a Dockerfile copies.

    None where that can't be told from the text (a variable in a source): then all of it may be.
    """
    sources: list[str] = []
    for instruction in instructions(text):
        if instruction.keyword not in COPYING:
            continue
        words = _words(instruction.arguments)
        if any(word.startswith("--from=") for word in words):
            continue
        paths = [word for word in words if not word.startswith("--")][:-1]
        if any("$" in path for path in paths):
            return None
        sources += [path for path in paths if "://" not in path]
    return tuple(dict.fromkeys(sources))


def _words(arguments: str) -> list[str]:
    if "[" in arguments and arguments.rstrip().endswith("]"):
        flags, _, array = arguments.partition("[")
        try:
            return flags.split() + [str(word) for word in json.loads(f"[{array}")]
        except ValueError:
            return arguments.split()
    try:
        return shlex.split(arguments)
    except ValueError:
        return arguments.split()
