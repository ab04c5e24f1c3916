"""A volume's file tree: what is where, and which blocks hold it."""

import re
import zlib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

BLOCK_BYTES: Final = 4 * 1024 * 1024
"""Files are cut into blocks of this size. Measured: smaller ones cost round trips, larger ones
are sent again for a changed byte."""
SMALL_BYTES: Final = 256 * 1024
"""Files up to this size share blocks: 20,000 files of 4 KiB are 20 blocks, not 20,000."""
DIRECTORY_MODE: Final = 0o755
FILE_MODE: Final = 0o644

_MOST: Final = 2**63 - 1
"""What the kernel takes."""
Kind = Literal["f", "d", "l"]
"""File, directory, symbolic link."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One path of a tree."""

    kind: Kind
    mode: Annotated[int, Meta(ge=0, le=0o7777)]
    """Permission bits."""
    mtime_ns: Annotated[int, Meta(ge=-_MOST, le=_MOST)] = 0
    size: Annotated[int, Meta(ge=0, le=_MOST)] = 0
    digest: bytes = b""
    """Names a file's content: the sha256 of a small file, of all block digests for a larger one."""
    blocks: tuple[bytes, ...] = ()
    """Digests of the blocks a file is cut into; of a small one the block it shares."""
    offset: Annotated[int, Meta(ge=0, le=_MOST)] = 0
    """Where a small file begins in its block."""
    target: str = ""
    """Where a link points."""

    @property
    def is_directory(self) -> bool:
        return self.kind == "d"


Tree = Mapping[str, Entry]
"""By path, relative and without a final slash; every directory has an entry, the root has none."""
Changes = Mapping[str, Entry | None]
"""New entries by path; None: it is gone. A directory goes with what is below it, each named."""

_ASTRAY: Final = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)|\0")
"""In a path that is not below the volume's root, or that says so in a roundabout way."""
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(dict[str, Entry])


def directory(mode: int = DIRECTORY_MODE) -> Entry:
    return Entry("d", mode)


def same(one: Entry, other: Entry) -> bool:
    """Whether both look the same to a reader. Times of directories don't count: each new file in
    one changes them."""
    return (
        one.kind == other.kind
        and one.mode == other.mode
        and one.digest == other.digest
        and one.size == other.size
        and one.target == other.target
        and (one.kind != "f" or one.mtime_ns == other.mtime_ns)
    )


def dump(tree: Tree) -> bytes:
    """The manifest of a tree. Equal trees give equal bytes."""
    return _encoder.encode(dict(sorted(tree.items())))


def load(manifest: bytes) -> dict[str, Entry]:
    """The tree of a manifest. msgspec.MsgspecError if it is none: whoever may call functions may also
    write manifests, and runners, which are root, make files where these say."""
    tree = _decoder.decode(manifest)
    for path, entry in tree.items():
        if _ASTRAY.search(path):
            raise msgspec.ValidationError(f"{path[:100]!r} is no path below the root")
        if "\0" in entry.target:
            raise msgspec.ValidationError(f"{path[:100]!r} is a link to what is no path")
    return tree


def pack(manifest: bytes) -> bytes:
    """A manifest as it is stored: paths repeat themselves, so this halves it at little cost."""
    return zlib.compress(manifest, 1)


def unpack(stored: bytes) -> bytes:
    return zlib.decompress(stored)


def totals(tree: Tree) -> tuple[int, int]:
    """(files, bytes)."""
    sizes = [entry.size for entry in tree.values() if entry.kind == "f"]
    return len(sizes), sum(sizes)
