"""Which images a Dockerfile starts from and copies out of, and which of them it must not. Pure.

All workspaces' images lie in one engine, where a name or the beginning of an id is enough to build on
one. So a recipe may name neither what the builder tagged nor an id.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from squall_contracts.dockerfile import COPYING, Instruction, instructions

OWN: Final = re.compile(r"squall-[0-9a-f]{12}(?=[:@]|$)", re.IGNORECASE)
PLAIN: Final = re.compile(r"[\w.:/@,-]+", re.ASCII)
ID: Final = re.compile(r"(sha256:)?[0-9a-f]+", re.IGNORECASE)
_HOSTS: Final = re.compile(r"^((index\.)?docker\.io/)?(library/)?", re.IGNORECASE)
_VARIABLE: Final = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}$]*))?\})")


def refusal(
    dockerfile: str, build_args: Mapping[str, str], trusted: Collection[str] = ()
) -> str | None:
    """Why this Dockerfile must not be built; None: it names no image that could be another's.
    `trusted`: the operator's own base, whatever it is called, and what stands for our own."""
    for reference in references(dockerfile, build_args):
        if reference in trusted:
            continue
        if "$" in reference:
            return f"the image {reference!r} is named by a variable without a value: write its name"
        if not PLAIN.fullmatch(reference):
            return f"the image {reference!r} is no plain name: write it without quotes or escapes"
        if ID.fullmatch(reference):
            return (
                f"the image {reference!r} reads as an id: write its name, "
                f"with its registry if need be (docker.io/library/{reference})"
            )
        if OWN.match(_HOSTS.sub("", reference)):
            return f"the image {reference!r} is one that Squall built: start from its recipe"
    return None


def references(dockerfile: str, build_args: Mapping[str, str]) -> Iterator[str]:
    """Every image that is named, in order, without stages of the same Dockerfile."""
    stages: list[str] = []
    values: dict[str, str] = {}
    for keyword, arguments in map(_triggered, instructions(dockerfile)):
        if keyword == "ARG" and not stages:
            values |= _declared(arguments, build_args, values)
        elif keyword == "FROM":
            words = [each for each in arguments.split() if not each.startswith("--")]
            image = _expanded(words[0], values) if words else ""
            if image.lower() not in stages:
                yield image
            named = len(words) == 3 and words[1].upper() == "AS"
            stages.append(words[2].lower() if named else "")
        elif keyword in COPYING:
            yield from _sources(arguments, stages)


def _triggered(instruction: Instruction) -> tuple[str, str]:
    """Keyword and arguments; of ONBUILD those of what it will do."""
    keyword, arguments, _, _ = instruction
    if keyword != "ONBUILD" or not arguments:
        return keyword, arguments
    later, *rest = arguments.split(None, 1)
    return later.upper(), "".join(rest)


def _sources(arguments: str, stages: list[str]) -> Iterator[str]:
    for word in arguments.split():
        if not word.startswith("--from="):
            if word.startswith("--") and not PLAIN.fullmatch(word.replace("=", "")):
                yield word
            continue
        name = word.removeprefix("--from=")
        is_stage = name.lower() in stages or (name.isdecimal() and int(name) < len(stages))
        if not is_stage:
            yield name


def _declared(
    arguments: str, build_args: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in arguments.split():
        name, given, default = word.partition("=")
        if name in build_args:
            found[name] = build_args[name]
        elif given:
            found[name] = _expanded(default.strip("\"'"), {**before, **found})
    return found


def _expanded(text: str, values: Mapping[str, str]) -> str:
    """With its variables' values; one without stays as it is."""

    def value(match: re.Match[str]) -> str:
        default = match[3] if match[3] is not None else match[0]
        return values.get(match[1] or match[2]) or default

    return _VARIABLE.sub(value, text)
