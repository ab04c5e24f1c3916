"""What takes a guard away: one small change of one file, and the tests that must fail with it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
TABLE: Final = "docs/security.md"
HEADING: Final = "## Threats"
_WORD: Final = re.compile(r"[a-z]+(?:-[a-z]+)*")
_SMALL: Final = frozenset(
    {"a", "an", "the", "of", "or", "and", "to", "by", "who", "has", "no", "one", "that", "with"}
    | {"for", "from", "in", "on", "other", "others", "than", "is", "as", "his", "their", "into"}
    | {"against", "what", "does", "may", "do"}
)
"""Words that tell no attack from another."""
_KEY_WORDS: Final = 3


@dataclass(frozen=True)
class Mutation:
    """`old` is once in `file`, which has no such guard any more with `new` in its place."""

    row: str
    """The key of the table's row."""
    guard: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """As pytest calls them; those that show it soonest."""


class Row(NamedTuple):
    attack: str
    guard: str
    tests: str

    @property
    def key(self) -> str:
        """The first words of the attack that say something."""
        words = [each for each in _WORD.findall(self.attack.lower()) if each not in _SMALL]
        return "-".join(words[:_KEY_WORDS])


def rows(root: Path = ROOT) -> tuple[Row, ...]:
    """The table of threats."""
    _, _, after = (root / TABLE).read_text().partition(f"\n{HEADING}\n")
    lines = [line for line in after.splitlines() if line.startswith("|")]
    return tuple(Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:])


def without_parameters(test: str) -> tuple[str, str]:
    """The file and the name of a test as pytest calls it."""
    path, _, name = test.partition("::")
    return path, name.partition("[")[0]
