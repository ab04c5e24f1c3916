"""Ignore patterns against an independent matcher, and the cases moby's own tests have."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.exception import InvalidError, NotFoundError
from squall.file_pattern_matcher import NON_PYTHON_FILES, FilePatternMatcher

PIECES = st.text("ab.*?", min_size=1, max_size=4).filter(lambda piece: "**" not in piece)
PATTERN_PARTS = st.lists(st.just("**") | PIECES, min_size=1, max_size=4).filter(
    lambda parts: "." not in parts and ".." not in parts
)
PATTERNS = st.lists(
    st.tuples(st.booleans(), PATTERN_PARTS).map(
        lambda it: ("!" if it[0] else "") + "/".join(it[1])
    ),
    max_size=4,
)
PATHS = st.lists(
    st.text("ab.", min_size=1, max_size=3).filter(lambda part: part not in (".", "..")),
    min_size=1,
    max_size=4,
)


def glob(pattern: str, text: str) -> bool:
    """One path component, `*` and `?` by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[n:]) for n in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and glob(pattern[1:], text[1:])


def whole(pattern: list[str], path: list[str]) -> bool:
    """All components; `**` takes any number of them, at the end at least one."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(whole(pattern[1:], path[n:]) for n in range(len(path) + 1))
    return bool(path) and glob(pattern[0], path[0]) and whole(pattern[1:], path[1:])


def brute_force(patterns: list[str], path: list[str]) -> bool:
    """The last pattern that matches the path or a directory above it decides."""
    verdict = False
    for pattern in patterns:
        parts = [part for part in pattern.removeprefix("!").split("/") if part]
        if any(whole(parts, path[: n + 1]) for n in range(len(path))):
            verdict = not pattern.startswith("!")
    return verdict


@given(PATTERNS, PATHS)
def test_it_agrees_with_trying_everything(patterns: list[str], path: list[str]) -> None:
    matcher = FilePatternMatcher(*patterns)
    assert matcher(Path(*path)) == brute_force(patterns, path), (patterns, path)


@given(PATTERNS, PATHS)
def test_inverted_it_says_the_opposite(patterns: list[str], path: list[str]) -> None:
    matcher = FilePatternMatcher(*patterns)
    assert (~matcher)(Path(*path)) != matcher(Path(*path))
    assert ~~matcher is matcher


@given(PATTERNS, PATHS, PATHS)
def test_all_below_a_pruned_directory_matches(
    patterns: list[str], directory: list[str], below: list[str]
) -> None:
    matcher = FilePatternMatcher(*patterns)
    if matcher.prunes(Path(*directory)):
        assert matcher(Path(*directory, *below))


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("**", "file", True),
        ("**/", "dir/file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("dir/**", "dir", False),
        ("**/dir2/*", "dir/dir2/dir2/file", True),
        ("**file", "dir/file", True),
        ("**/file", "dir/file.txt", False),
        ("a.b", "a/b", False),
        ("*/*.txt", "a/b.txt", True),
        ("*/*.txt", "a/b/c.txt", False),
        ("file.txt", "dir/file.txt", False),
        ("/file.txt", "file.txt", True),
        ("./a/../b", "b/c", True),
        ("a[b-d]e", "ace", True),
        ("a[^b-d]e", "ace", False),
        ("a\\*b", "a*b", True),
        ("a\\*b", "axb", False),
        ("a(b)+{c}|$", "a(b)+{c}|$", True),
        ("[]]", "]", False),
        ("*.PY", "a.py", False),
    ],
)
def test_patterns_mean_what_they_mean_in_a_dockerignore(
    pattern: str, path: str, matches: bool
) -> None:
    if pattern == "[]]":
        with pytest.raises(InvalidError, match="malformed"):
            FilePatternMatcher(pattern)
    else:
        assert FilePatternMatcher(pattern)(Path(path)) == matches


def test_later_patterns_take_back_what_earlier_ones_matched() -> None:
    matcher = FilePatternMatcher("docs", "!docs/README.md", "docs/old/**")
    assert matcher(Path("docs/a.md"))
    assert not matcher(Path("docs/README.md"))
    assert matcher(Path("docs/old/README.md"))
    assert not matcher.prunes(Path("docs"))


@pytest.mark.parametrize("pattern", ["a[b", "!", "[]"])
def test_a_malformed_pattern_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(InvalidError, match="ignore pattern"):
        FilePatternMatcher(pattern)


def test_patterns_come_from_a_file_without_its_comments(tmp_path: Path) -> None:
    file = tmp_path / ".dockerignore"
    file.write_text("# all\n\n*\n  !*.py  \n")
    matcher = FilePatternMatcher.from_file(file)
    assert matcher(Path("a.txt"))
    assert not matcher(Path("a.py"))
    with pytest.raises(NotFoundError, match="nowhere"):
        FilePatternMatcher.from_file(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("a.py", False),
        ("pkg/sub/a.py", False),
        ("a.txt", True),
        ("pkg/.hidden/a.py", True),
        ("pkg/__pycache__/a.py", True),
        ("a.pyc", True),
    ],
)
def test_only_python_files_count_as_python_source(path: str, left_out: bool) -> None:
    assert NON_PYTHON_FILES(Path(path)) == left_out
    assert (~NON_PYTHON_FILES)(Path(path)) != left_out
