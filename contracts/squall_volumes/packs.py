"""Blocks that small files share: how much of each is still used, and packing what is left anew. Pure
but for `Packer`, which reads no clock and does no I/O either."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from squall_volumes.known import Place
from squall_volumes.model import BLOCK_BYTES, SMALL_BYTES, Entry, Tree

SPARSE: Final = 0.5
"""A pack of which less than this share is used is packed anew."""
MOST_PACKS: Final = 256
"""In one go: a GiB is read and at most half of it written."""


class Usage:
    """What trees use of the packs, by the files' places in them."""

    def __init__(self) -> None:
        self._sizes: dict[bytes, dict[int, int]] = {}

    def add(self, tree: Tree) -> None:
        for entry in tree.values():
            if is_packed(entry):
                self._sizes.setdefault(entry.blocks[0], {})[entry.offset] = entry.size

    def sparse(self, stored: Callable[[bytes], int]) -> list[bytes]:
        """Packs worth packing anew, the emptiest first. `stored`: a block's size in bytes, 0 if it
        isn't there."""
        shares = {
            pack: sum(sizes.values()) / size
            for pack, sizes in self._sizes.items()
            if (size := stored(pack))
        }
        found = sorted((share, pack) for pack, share in shares.items() if share < SPARSE)
        return [pack for _, pack in found[:MOST_PACKS]]


def is_packed(entry: Entry) -> bool:
    return entry.kind == "f" and entry.size <= SMALL_BYTES and bool(entry.blocks)


def files_in(tree: Tree, packs: Collection[bytes]) -> dict[bytes, dict[bytes, Entry]]:
    """By pack and digest, the files of a tree that lie in these packs."""
    found: dict[bytes, dict[bytes, Entry]] = {}
    for entry in tree.values():
        if is_packed(entry) and entry.blocks[0] in packs:
            found.setdefault(entry.blocks[0], {})[entry.digest] = entry
    return found


def moved(tree: Tree, packs: Collection[bytes], places: Mapping[bytes, Place]) -> dict[str, Entry]:
    """The tree with its files out of these packs, where they have another place now; the same
    files otherwise."""
    return {path: _moved(entry, packs, places) for path, entry in tree.items()}


def _moved(entry: Entry, packs: Collection[bytes], places: Mapping[bytes, Place]) -> Entry:
    if not is_packed(entry) or entry.blocks[0] not in packs:
        return entry
    place = places.get(entry.digest)
    if place is None:
        return entry  # it was committed since: its pack stays for it
    return replace(entry, blocks=place.blocks, offset=place.offset)


class Packer:
    """Puts files out of old packs into new ones."""

    def __init__(self) -> None:
        self.places: dict[bytes, Place] = {}
        """Of each digest, once its pack was given out."""
        self._parts: list[bytes] = []
        self._waiting: dict[bytes, int] = {}
        self._size = 0

    def add(self, pack: bytes, files: Mapping[bytes, Entry]) -> Iterator[tuple[bytes, bytes]]:
        """Take these files out of an old pack; gives (digest, data) of new ones that are full."""
        for digest, entry in sorted(files.items()):
            if digest in self.places or digest in self._waiting:
                continue
            if self._size + entry.size > BLOCK_BYTES:
                yield self._packed()
            self._waiting[digest] = self._size
            self._parts.append(pack[entry.offset : entry.offset + entry.size])
            self._size += entry.size

    def rest(self) -> Iterator[tuple[bytes, bytes]]:
        """The last pack, if anything waits."""
        if self._waiting:
            yield self._packed()

    def _packed(self) -> tuple[bytes, bytes]:
        data = b"".join(self._parts)
        digest = hashlib.sha256(data).digest()
        for each, offset in self._waiting.items():
            self.places[each] = Place((digest,), offset)
        self._parts, self._waiting, self._size = [], {}, 0
        return digest, data
