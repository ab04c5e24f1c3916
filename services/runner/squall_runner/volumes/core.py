"""What a runner decides about volumes, without doing it."""

from collections.abc import Collection, Mapping
from typing import Final

from squall_volumes import core as trees
from squall_volumes.model import Changes, Entry, Tree, directory, same

SMALL_CHANGE_FILES: Final = 500
SMALL_CHANGE_BYTES: Final = 32 * 1024 * 1024
"""Up to so much a container waits for what changed since the cached tree; beyond it a new tree is
made, for the next ones too."""
LEAST_INTERVAL_S: Final = 5.0
SHARE_OF_TIME: Final = 0.05
"""How much of the time background commits may take."""


def is_small(changes: Changes) -> bool:
    """Whether to apply changes in place rather than make a new tree."""
    size = sum(entry.size for entry in changes.values() if entry is not None)
    return len(changes) <= SMALL_CHANGE_FILES and size <= SMALL_CHANGE_BYTES


def next_interval_s(took_s: float) -> float:
    """How long to wait after a background commit that took so long."""
    return max(LEAST_INTERVAL_S, took_s / SHARE_OF_TIME)


def local_changes(
    base: Tree,
    *,
    files: Mapping[str, Entry],
    others: Mapping[str, Entry],
    gone: Collection[str],
    left_out: Collection[str] = (),
) -> dict[str, Entry | None]:
    """What a container changed of `base`: `files`, and `others` (directories and links), as found;
    `gone` as told by an overlay or by their absence. What is `left_out` counts as unchanged."""
    changes: dict[str, Entry | None] = {
        path: None for path in gone if path in base and path not in left_out
    }
    for found in (others, files):
        for path, entry in found.items():
            before = base.get(path)
            if before is None or not same(before, entry):
                changes[path] = entry
    return changes


def moved(base: Tree, local: Changes, newest: Tree) -> dict[str, Entry | None]:
    """The changes that turn what a container sees, `base` with its own changes, into the newest
    tree with its own changes."""
    return trees.diff(trees.apply(base, local), trees.apply(newest, local))


def part(tree: Tree, sub_path: str) -> dict[str, Entry]:
    """The directory of a volume that is mounted; empty while there is none.

    NotADirectoryError if it is something else.
    """
    try:
        return trees.within(tree, sub_path)
    except FileNotFoundError:
        return {}


def whole(changes: Changes, sub_path: str) -> dict[str, Entry | None]:
    """Changes of the mounted part as changes of the volume."""
    made: dict[str, Entry | None] = {}
    if sub_path and changes:
        made[sub_path] = directory()
    return {**made, **trees.under(changes, sub_path)}


def merged(changes: Changes, sub_path: str, tree: Tree) -> dict[str, Entry | None]:
    """As `whole`, leaving the mounted directory itself as it is where it is there."""
    found = whole(changes, sub_path)
    if sub_path in tree and tree[sub_path].is_directory:
        found.pop(sub_path, None)
    return found
