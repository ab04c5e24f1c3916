"""Trees: what changes, merges, copies and listings make of them, and what may be cleared away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_volumes import core, paths
from squall_volumes.errors import InvalidPath
from squall_volumes.model import Changes, Entry, Tree, directory, dump, load, same

NAMES = st.sampled_from(["a", "b", "ü", "a b"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def file(word: str, mode: int = 0o644) -> Entry:
    return Entry("f", mode, 1, len(word), word.encode(), (word.encode(),))


ENTRIES = st.one_of(
    st.sampled_from(["x", "y", "z"]).map(file),
    st.just(directory()),
    st.just(Entry("l", 0o777, target="a")),
)


def made_of(additions: dict[str, Entry]) -> dict[str, Entry]:
    tree: dict[str, Entry] = {}
    for path, entry in additions.items():
        tree = core.apply(tree, {path: entry})
    return tree


TREES = st.dictionaries(PATHS, ENTRIES, max_size=8).map(made_of)


def is_tree(tree: Tree) -> bool:
    above = [paths.parent(path) for path in tree if paths.parent(path)]
    return all(path in tree and tree[path].is_directory for path in above)


def is_touched(path: str, changes: Changes) -> bool:
    """Whether changes are of this path, of something in its place, or of something below it."""
    return any(
        changed == path
        or (entry is not None and changed.startswith(f"{path}/"))
        or (entry is not None and not entry.is_directory and path.startswith(f"{changed}/"))
        for changed, entry in changes.items()
    )


def alike(one: Tree, other: Tree) -> bool:
    return one.keys() == other.keys() and all(same(one[path], other[path]) for path in one)


@given(TREES, TREES)
def test_difference_makes_one_tree_of_the_other(old: Tree, new: Tree) -> None:
    assert alike(core.apply(old, core.diff(old, new)), new)


@given(TREES, TREES, TREES)
def test_merged_commits_are_a_tree_again(base: Tree, ours: Tree, theirs: Tree) -> None:
    assert is_tree(core.apply(theirs, core.diff(base, ours)))


@given(TREES, TREES, TREES)
def test_files_the_later_commit_wrote_are_in_the_merge(
    base: Tree, ours: Tree, theirs: Tree
) -> None:
    changes = core.diff(base, ours)
    merged = core.apply(theirs, changes)
    for path, entry in changes.items():
        if entry is not None and entry.kind == "f":
            assert merged[path] == entry


@given(TREES, TREES, TREES)
def test_files_only_the_earlier_commit_touched_survive_the_merge(
    base: Tree, ours: Tree, theirs: Tree
) -> None:
    changes = core.diff(base, ours)
    merged = core.apply(theirs, changes)
    for path, entry in core.diff(base, theirs).items():
        if entry is not None and entry.kind == "f" and not is_touched(path, changes):
            assert merged[path] == entry


@given(TREES)
def test_a_tree_is_read_as_it_was_written(tree: Tree) -> None:
    assert load(dump(tree)) == tree


@given(TREES)
def test_a_removed_directory_takes_all_below_it(tree: Tree) -> None:
    for path in tree:
        left = core.apply(tree, core.removal(tree, path, recursive=True))
        assert not [each for each in left if each == path or each.startswith(f"{path}/")]
        assert is_tree(left)


@given(TREES)
def test_a_copied_directory_holds_what_the_first_holds(tree: Tree) -> None:
    for path in [path for path, entry in tree.items() if entry.is_directory and "/" not in path]:
        changed = core.apply(tree, core.copies(tree, [path], "copy", recursive=True))
        assert alike(core.within(changed, "copy"), core.within(tree, path))


@pytest.mark.parametrize("path", ["..", "a/../b", "/../etc", "a\0b", "x" * 300, "\udc80"])
def test_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidPath):
        paths.clean(path)


@pytest.mark.parametrize("path", ["/a//b/", "a/./b", "a/b"])
def test_path_is_relative_to_the_volume(path: str) -> None:
    assert paths.clean(path) == "a/b"


def test_a_link_out_of_the_volume_is_not_followed() -> None:
    tree = {"out": Entry("l", 0o777, target="../../etc/passwd"), "d": directory()}
    with pytest.raises(FileNotFoundError, match="out of the volume"):
        core.find_file(tree, "out")


def test_a_file_that_took_a_directorys_place_keeps_it() -> None:
    base: Tree = {"a": directory(), "a/x": file("x")}
    theirs = core.apply(base, {"a/new": file("y")})
    ours: Changes = {"a": file("z"), "a/x": None}
    assert core.apply(theirs, ours) == {"a": file("z")}


def test_a_file_put_into_a_directory_somebody_removed_survives() -> None:
    base: Tree = {"a": directory(), "a/x": file("x")}
    theirs = core.apply(base, {"a/new": file("y")})
    ours: Changes = {"a": None, "a/x": None}
    assert core.apply(theirs, ours) == {"a": directory(), "a/new": file("y")}


# --- garbage --------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 40), st.sets(st.sampled_from("abcd"))), max_size=12),
    st.dictionaries(st.sampled_from("abcd"), st.floats(-50, 0), min_size=4),
)
def test_what_was_used_or_put_within_the_grace_is_never_cleared_away(
    looks: list[tuple[float, set[str]]], put: dict[str, float]
) -> None:
    grace, now, stored = 24.0, 0.0, dict(put)
    candidates: dict[str, float] = {}
    last_used = dict.fromkeys(put, float("-inf"))
    for after, used in looks:
        now += after
        gone, candidates = core.condemned(stored, used, candidates, now_unix_s=now, grace_s=grace)
        for name in used:
            last_used[name] = now
        for name in gone:
            assert name not in used
            assert now - stored[name] >= grace
            assert now - last_used[name] >= grace
            del stored[name]
