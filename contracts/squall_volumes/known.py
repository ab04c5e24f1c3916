"""What is stored already: files and blocks the newest trees refer to."""

from collections.abc import Iterable
from typing import NamedTuple

from squall_volumes.model import SMALL_BYTES, Entry, Tree


class Place(NamedTuple):
    """Where a small file lies."""

    blocks: tuple[bytes, ...]
    offset: int


class Known:
    """Content by digest, of trees that are in use."""

    def __init__(self, trees: Iterable[Tree] = ()) -> None:
        self.small: dict[bytes, Place] = {}
        self.blocks: set[bytes] = set()
        for tree in trees:
            self.add(tree.values())

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.kind != "f":
                continue
            if entry.size <= SMALL_BYTES:
                self.small[entry.digest] = Place(entry.blocks, entry.offset)
            else:
                self.blocks.update(entry.blocks)
