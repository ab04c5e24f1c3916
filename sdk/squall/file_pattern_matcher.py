"""Ignore patterns for local files, with the semantics of a `.dockerignore` (moby's matcher)."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Final

from squall.exception import InvalidError, NotFoundError

Ignore = Callable[[Path], bool]
"""True: leave this file out. The path is relative to the directory that is added."""


class _Invertible:
    """A predicate over relative paths that `~` inverts."""

    def __call__(self, path: Path) -> bool:
        raise NotImplementedError

    def __invert__(self) -> "_Invertible":
        return _Inverted(self)

    def prunes(self, directory: Path) -> bool:
        """Whether everything below `directory` is certain to match, so that a walk may skip it."""
        return False


class _Inverted(_Invertible):
    def __init__(self, inner: _Invertible) -> None:
        self._inner = inner

    def __call__(self, path: Path) -> bool:
        return not self._inner(path)

    def __invert__(self) -> _Invertible:
        return self._inner

    def __repr__(self) -> str:
        return f"~{self._inner!r}"


class FilePatternMatcher(_Invertible):
    """Matches paths against dockerignore patterns; the last pattern that matches decides.

    `*` and `?` stay within one path component, `**` spans any number of them, `[a-z]` is a set and
    `!pattern` takes back what an earlier one matched. A pattern that matches a directory matches
    all that is in it. InvalidError: a pattern is not a string, or is malformed.
    """

    def __init__(self, *patterns: str) -> None:
        self._patterns = tuple(_read(pattern) for pattern in patterns)
        self._rules = tuple(_compile(pattern) for pattern in self._patterns if pattern)

    @classmethod
    def from_file(cls, file_path: str | Path) -> "FilePatternMatcher":
        """Patterns from a file, one a line; `#` starts a comment. NotFoundError: no such file."""
        try:
            text = Path(file_path).read_text("utf-8")
        except FileNotFoundError as error:
            raise NotFoundError(f"ignore file {str(file_path)!r} does not exist") from error
        return cls(*pattern_lines(text))

    def __call__(self, path: Path) -> bool:
        """Whether `path` (relative, or taken as if it were) matches."""
        parts = [part for part in PurePath(path).parts if part not in ("/", ".")]
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        matched = False
        for excluded, expression in self._rules:
            # A rule that could not change the verdict is skipped.
            if excluded == matched and any(expression.fullmatch(head) for head in heads):
                matched = not excluded
        return matched

    @property
    def patterns(self) -> list[str]:
        """As they were given."""
        return list(self._patterns)

    def can_prune_directories(self) -> bool:
        """Whether a directory that matches holds nothing that does not."""
        return not any(excluded for excluded, _ in self._rules)

    def prunes(self, directory: Path) -> bool:
        return not any(excluded for excluded, _ in self._rules) and self(directory)

    def __repr__(self) -> str:
        return f"FilePatternMatcher({', '.join(map(repr, self._patterns))})"


class _NonPythonFiles(_Invertible):
    """Everything but `.py` files, and all that is in dot-directories or `__pycache__`."""

    def __call__(self, path: Path) -> bool:
        return path.suffix != ".py" or any(self._hidden(part) for part in path.parts[:-1])

    def prunes(self, directory: Path) -> bool:
        return any(self._hidden(part) for part in directory.parts)

    @staticmethod
    def _hidden(part: str) -> bool:
        return part.startswith(".") or part == "__pycache__"

    def __repr__(self) -> str:
        return "NON_PYTHON_FILES"


NON_PYTHON_FILES: Final[_Invertible] = _NonPythonFiles()
"""What `add_local_python_source` leaves out unless told otherwise."""


def pattern_lines(text: str) -> list[str]:
    """The patterns of a dockerignore file: comments and blank lines dropped."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def as_ignore(ignore: Sequence[str] | Ignore, field: str) -> Ignore:
    """The predicate an `ignore` argument means. InvalidError names `field`."""
    if callable(ignore):
        return ignore
    if isinstance(ignore, str) or not isinstance(ignore, Sequence):
        raise InvalidError(
            f"{field} takes a list of patterns or a function of a path, not {ignore!r}"
        )
    return FilePatternMatcher(*ignore)


def _read(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise InvalidError(f"an ignore pattern is a string, not {pattern!r}")
    text = pattern.strip()
    mark, body = ("!", text[1:].strip()) if text.startswith("!") else ("", text)
    if mark and not body:
        raise InvalidError(f"ignore pattern {pattern!r} takes back nothing: write !PATTERN")
    cleaned = _clean(body)
    return mark + cleaned if cleaned else ""


def _clean(path: str) -> str:
    """Go's `filepath.Clean`, then without the leading slash: `./a//b/../c/` is `a/c`."""
    kept: list[str] = []
    for part in path.split("/"):
        if part == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif part == ".." and path.startswith("/"):
            continue
        elif part not in ("", "."):
            kept.append(part)
    return "/".join(kept)


def _compile(pattern: str) -> tuple[bool, re.Pattern[str]]:
    excluded = pattern.startswith("!")
    try:
        return excluded, re.compile(_expression(pattern.removeprefix("!")), re.DOTALL)
    except re.error as error:
        raise InvalidError(f"ignore pattern {pattern!r} is malformed: {error}") from error


def _expression(pattern: str) -> str:
    """The regular expression moby's patternmatcher builds, with `/` as the separator."""
    built = ""
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*" and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            built += ".*" if at == len(pattern) else "(?:.*/)?"
        elif character == "*":
            built += "[^/]*"
        elif character == "?":
            built += "[^/]"
        elif character == "[":
            members, at = _members(pattern, at)
            built += members
        elif character == "\\" and at < len(pattern):
            built += re.escape(pattern[at])
            at += 1
        else:
            built += re.escape(character)
    return built


def _members(pattern: str, at: int) -> tuple[str, int]:
    """The set that starts after the bracket before `at`, and where the pattern goes on."""
    negated = pattern.startswith("^", at)
    end = pattern.find("]", at + negated)
    body = pattern[at + negated : end].replace("\\", "")
    if end < 0 or not body:
        raise re.error("a set of characters [...] is empty or not closed")
    escaped = re.sub(r"[^\w-]", lambda found: re.escape(found[0]), body)
    return f"[{'^' if negated else ''}{escaped}]", end + 1
