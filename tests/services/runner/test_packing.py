"""A directory as the archive of an image."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_runner.container_files.packing import INSIDE, GaveUpError, pack
from squall_runner.container_files.root import Owner, Root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "inside").mkdir()
    made = Root(os.open(tmp_path / "inside", os.O_PATH | os.O_DIRECTORY), Owner(0, 0))
    yield made
    made.close()


def packed(root: Root, path: str) -> tarfile.TarFile:
    file = io.BytesIO()
    pack(root, path, file, lambda: True)
    file.seek(0)
    return tarfile.open(fileobj=file)


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
TREES = st.dictionaries(
    st.lists(NAMES.filter(lambda name: name not in {".", ".."}), min_size=1, max_size=3).map(tuple),
    st.binary(max_size=3000),
    max_size=6,
)


@given(tree=TREES)
@settings(max_examples=40)
def test_archive_holds_all_files_below_the_directory_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, ...], bytes]
) -> None:
    top = tmp_path_factory.mktemp("packed")
    (top / "kept").mkdir()
    (top / "beside").write_text("not asked for")
    written: dict[str, bytes] = {}
    for parts, data in tree.items():
        place = top.joinpath("kept", *parts)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        except OSError:  # too long a name, or a file where a directory is to be
            continue
        written["/".join((INSIDE, *parts))] = data
    root = Root(os.open(top, os.O_PATH | os.O_DIRECTORY), Owner(0, 0))
    try:
        with packed(root, "/kept") as archive:
            found = {each.name: each for each in archive}
            files = {
                name: archive.extractfile(each).read()  # type: ignore[union-attr]
                for name, each in found.items()
                if each.isreg()
            }
    finally:
        root.close()
    assert files == written
    assert found[INSIDE].isdir()
    assert all(name == INSIDE or name.startswith(f"{INSIDE}/") for name in found)


def test_links_are_kept_as_links_and_never_followed(root: Root, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (tmp_path / "secret").write_text("the machine's")
    (inside / "file").write_text("own")
    os.link(inside / "file", inside / "twin")
    (inside / "out").symlink_to(tmp_path / "secret")
    (inside / "updir").symlink_to("..")
    os.mkfifo(inside / "pipe")
    with packed(root, "/") as archive:
        found = {each.name.removeprefix(f"{INSIDE}/"): each for each in archive}
    assert set(found) == {INSIDE, "file", "twin", "out", "updir"}
    assert found["twin"].islnk() or found["file"].islnk()
    assert (found["out"].linkname, found["out"].issym()) == (str(tmp_path / "secret"), True)


def test_file_that_shrinks_or_grows_meanwhile_spoils_nothing_behind_it(
    root: Root, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    for name in ("a", "b"):
        (inside / name).write_bytes(b"x" * 5000)
    file, asked = io.BytesIO(), 0

    def changing() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:  # its size was seen, and it is about to be read
            (inside / "a").write_bytes(b"y")
        return True

    pack(root, "/", file, changing)
    file.seek(0)
    with tarfile.open(fileobj=file) as archive:
        sizes = {each.name: each.size for each in archive}
    assert sizes == {INSIDE: 0, f"{INSIDE}/a": 5000, f"{INSIDE}/b": 5000}


def test_nobody_waits_and_it_is_given_up(root: Root, tmp_path: Path) -> None:
    (tmp_path / "inside" / "file").touch()
    with pytest.raises(GaveUpError):
        pack(root, "/", io.BytesIO(), lambda: False)
