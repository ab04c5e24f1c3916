"""Trees and what becomes of them: changed, compared, merged, listed, copied. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from squall_volumes.model import Changes, Entry, Tree, directory, same
from squall_volumes.paths import join, name, parent

# --- changing and comparing -----------------------------------------------------------------------


def apply(tree: Tree, changes: Changes) -> dict[str, Entry]:
    """`tree` with `changes`, which win: this is also how commits merge.

    What one commit changed is applied to the newest tree, whatever others made of it meanwhile:
    files only they changed stay theirs, and of a file both changed the later commit's is kept.
    The result is a tree again: a directory somebody put a file into comes back, and of a file and
    a directory of one name the changed one stays.
    """
    result = dict(tree)
    reshaped = False
    for path, entry in changes.items():
        before = result.get(path)
        if entry is None:
            result.pop(path, None)
            reshaped = reshaped or (before is not None and before.is_directory)
        else:
            result[path] = entry
            reshaped = reshaped or before is None or before.kind != entry.kind
    return _consistent(result, changes) if reshaped else result


def _consistent(tree: dict[str, Entry], changes: Changes) -> dict[str, Entry]:
    result: dict[str, Entry] = {}
    for path in sorted(tree):
        if _has_place(path, result, changes):
            result[path] = tree[path]
    return result


def _has_place(path: str, made: dict[str, Entry], changes: Changes) -> bool:
    """Whether `path` may stand, its parents made directories if need be; parents come first."""
    for above in _above(path):
        found = made.get(above)
        if found is None:
            made[above] = directory()
        elif not found.is_directory:
            if changes.get(above) is not None and changes.get(path) is None:
                return False
            made[above] = directory()
    return True


def _above(path: str) -> Iterator[str]:
    """The directories a path is in, outermost first."""
    at = path.find("/")
    while at != -1:
        yield path[:at]
        at = path.find("/", at + 1)


def diff(old: Tree, new: Tree) -> dict[str, Entry | None]:
    """The changes that make `new` of `old`."""
    changes: dict[str, Entry | None] = {path: None for path in old if path not in new}
    for path, entry in new.items():
        before = old.get(path)
        if before is None or not same(before, entry):
            changes[path] = entry
    return changes


# --- looking --------------------------------------------------------------------------------------


def find(tree: Tree, path: str) -> Entry:
    """What is at `path`; the root is a directory. FileNotFoundError."""
    if not path:
        return directory()
    entry = tree.get(path)
    if entry is None:
        raise FileNotFoundError(f"no such file or directory in the volume: {path!r}")
    return entry


def find_file(tree: Tree, path: str) -> tuple[str, Entry]:
    """The file at `path`, links inside the volume followed. FileNotFoundError, IsADirectoryError."""
    at = path
    for _ in range(40):
        entry = find(tree, at)
        if entry.is_directory:
            raise IsADirectoryError(f"{path!r} is a directory")
        if entry.kind == "f":
            return at, entry
        followed = _followed(at, entry.target)
        if followed is None:
            raise FileNotFoundError(f"{path!r} is a link out of the volume, to {entry.target!r}")
        at = followed
    raise FileNotFoundError(f"{path!r} is a link that leads back to itself")


def _followed(path: str, target: str) -> str | None:
    """Where a relative link leads; None: out of the volume."""
    if target.startswith("/"):
        return None
    parts = parent(path).split("/") if parent(path) else []
    for part in target.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)


def below(tree: Tree, path: str) -> Iterator[str]:
    """All paths below a directory, whatever their order."""
    prefix = f"{path}/" if path else ""
    return (each for each in tree if each.startswith(prefix))


def listing(tree: Tree, path: str, *, recursive: bool) -> list[tuple[str, Entry]]:
    """What a directory holds, by name; a file lists itself. FileNotFoundError."""
    if not find(tree, path).is_directory:
        return [(path, tree[path])]
    start = len(path) + 1 if path else 0
    found = [each for each in below(tree, path) if recursive or "/" not in each[start:]]
    return [(each, tree[each]) for each in sorted(found)]


def within(tree: Tree, path: str) -> dict[str, Entry]:
    """The directory at `path` as a tree of its own. FileNotFoundError, NotADirectoryError."""
    if not path:
        return dict(tree)
    for above in (*_above(path), path):
        if not find(tree, above).is_directory:
            raise NotADirectoryError(f"{above!r} in the volume is not a directory")
    start = len(path) + 1
    return {each[start:]: tree[each] for each in below(tree, path)}


def under(changes: Changes, path: str) -> dict[str, Entry | None]:
    """Changes of a directory as changes of the tree it is in."""
    if not path:
        return dict(changes)
    return {join(path, each): entry for each, entry in changes.items()}


# --- what commands do -----------------------------------------------------------------------------


def removal(tree: Tree, path: str, *, recursive: bool) -> dict[str, Entry | None]:
    """Changes that remove `path`. FileNotFoundError; IsADirectoryError without `recursive`."""
    entry = find(tree, path)
    if entry.is_directory:
        if not recursive:
            raise IsADirectoryError(f"{path or '/'!r} is a directory: remove it recursively")
        gone: dict[str, Entry | None] = dict.fromkeys(below(tree, path))
        return {**gone, path: None} if path else gone
    return {path: None}


def copies(
    tree: Tree, sources: Sequence[str], target: str, *, recursive: bool
) -> dict[str, Entry | None]:
    """Changes that copy as `cp` does: into `target` if it is a directory, else to that name.

    FileNotFoundError, IsADirectoryError without `recursive`, NotADirectoryError.
    """
    known = tree.get(target)
    into = not target or (known is not None and known.is_directory)
    if len(sources) > 1 and not into:
        raise NotADirectoryError(f"{target!r} is not a directory: several files go into one")
    if parent(target) and not find(tree, parent(target)).is_directory:
        raise NotADirectoryError(f"{parent(target)!r} is not a directory")
    changes: dict[str, Entry | None] = {}
    for source in sources:
        place = join(target, name(source)) if into else target
        changes.update(_copied(tree, source, place, recursive=recursive))
    return changes


def _copied(tree: Tree, source: str, place: str, *, recursive: bool) -> dict[str, Entry | None]:
    entry = find(tree, source)
    there = tree.get(place)
    if not entry.is_directory:
        if there is not None and there.is_directory:
            raise IsADirectoryError(f"{place!r} is a directory: a file can't take its place")
        return {} if place == source else {place: entry}
    if not recursive:
        raise IsADirectoryError(f"{source or '/'!r} is a directory: copy it recursively")
    if there is not None and not there.is_directory:
        raise NotADirectoryError(f"{place!r} is not a directory: a directory can't take its place")
    if place == source or place.startswith(f"{source}/") or not source:
        raise ValueError(f"{source or '/'!r} can't be copied into itself")
    start = len(source)
    made: dict[str, Entry | None] = {place: entry}
    made.update({place + each[start:]: tree[each] for each in below(tree, source)})
    return made


def clashes(tree: Tree, additions: Iterable[str]) -> list[str]:
    """Those of `additions` that would replace something else than a directory, by name."""
    return sorted(path for path in additions if path in tree and not tree[path].is_directory)


# --- garbage --------------------------------------------------------------------------------------


def condemned(
    stored: dict[str, float],
    used: set[str],
    candidates: dict[str, float],
    *,
    now_unix_s: float,
    grace_s: float,
) -> tuple[list[str], dict[str, float]]:
    """What can go of the objects `stored` (name and when it was put), and who is a candidate now.

    An object goes once it was unused in two looks at least `grace_s` apart and was put no later:
    whoever found it in use, or found it younger than half the grace, has the other half to commit.
    """
    unused = [name for name in stored if name not in used]
    since = {name: candidates.get(name, now_unix_s) for name in unused}
    gone = [
        name
        for name in unused
        if now_unix_s - since[name] >= grace_s and now_unix_s - stored[name] >= grace_s
    ]
    return sorted(gone), {name: since[name] for name in unused if name not in set(gone)}
