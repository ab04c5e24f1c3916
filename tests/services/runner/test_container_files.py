"""Files below a container's root, on a real disk: nothing outside is ever reached."""

import asyncio
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from squall_runner.container_files import looking, removing
from squall_runner.container_files.core import failure
from squall_runner.container_files.root import Owner, Root
from squall_runner.container_files.threads import Threads
from squall_runner.container_files.transfers import read_at, write_at
from squall_runner.container_files.watched import Watched

OWN = Owner(os.geteuid(), os.getegid())


@contextmanager
def rooted(directory: Path) -> Iterator[Root]:
    root = Root(os.open(directory, os.O_PATH | os.O_DIRECTORY), OWN)
    try:
        yield root
    finally:
        root.close()


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """The root, beside a secret."""
    (tmp_path / "secret").write_text("the machine's")
    made = tmp_path / "inside"
    made.mkdir()
    return made


@pytest.fixture
def root(inside: Path) -> Iterator[Root]:
    with rooted(inside) as made:
        yield made


def content(root: Root, path: str) -> bytes:
    descriptor = root.read(path)
    try:
        return read_at(descriptor, 0)
    finally:
        os.close(descriptor)


def put(root: Root, path: str, data: bytes) -> None:
    descriptor = root.write(path)
    try:
        write_at(descriptor, data, 0)
    finally:
        os.close(descriptor)


# --- links ----------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d"])
PARTS = st.sampled_from(["a", "b", "c", "d", "..", ".", ""])
PATHS = st.lists(PARTS, min_size=1, max_size=6).map(lambda parts: "/" + "/".join(parts))
TARGETS = st.one_of(
    PATHS,
    st.lists(PARTS, min_size=1, max_size=6).map(lambda parts: "/".join(parts) or "."),
    st.sampled_from(
        ["OUTSIDE", "OUTSIDE/victim", "../outside", "../outside/victim", "/proc/self/root"]
    ),
)
TREES = st.lists(
    st.tuples(st.lists(NAMES, min_size=1, max_size=3), st.one_of(st.none(), st.just(""), TARGETS)),
    max_size=10,
)
"""Paths, each a directory (None), a file (empty) or a link."""


def plant(base: Path, outside: Path, tree: list[tuple[list[str], str | None]]) -> None:
    for parts, what in tree:
        place = base.joinpath(*parts)
        with suppress(OSError):  # what is there first, stays
            if what is None:
                place.mkdir(parents=True)
            elif what == "":
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text("inside")
            else:
                place.symlink_to(what.replace("OUTSIDE", str(outside)))


def photograph(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    seen = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        found = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(found.st_mode) else b""
        seen[str(path)] = (found.st_mode, found.st_mtime_ns, data)
    return seen


@settings(max_examples=100, deadline=None)
@given(tree=TREES, path=PATHS)
def test_nothing_outside_is_read_or_changed_whatever_links_there_are(
    tree: list[tuple[list[str], str | None]], path: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        base, outside = Path(name, "base"), Path(name, "outside")
        base.mkdir()
        outside.mkdir()
        (outside / "victim").write_text("outside")
        (outside / "kept").mkdir()
        plant(base, outside, tree)
        before = photograph(outside)
        with rooted(base) as root:
            with suppress(OSError):
                assert content(root, path) == b"inside"
            with suppress(OSError):
                assert "victim" not in [
                    f.path.rpartition("/")[2] for f in looking.entries(root, path, "").files
                ]
            with suppress(OSError):
                put(root, path + "/w", b"inside")
            with suppress(OSError):
                put(root, path, b"inside")
            with suppress(OSError):
                root.make_path(path + "/new/er", parents=True)
            with suppress(OSError):
                removing.remove(root, path, recursive=True)
        assert photograph(outside) == before


def test_absolute_link_means_a_path_inside(root: Root, inside: Path) -> None:
    (inside / "etc").mkdir()
    (inside / "etc" / "hosts").write_text("its own")
    (inside / "link").symlink_to("/etc/hosts")
    assert content(root, "/link") == b"its own"
    put(root, "/link", b"changed")
    assert (inside / "etc" / "hosts").read_text() == "changed"


def test_link_swapped_under_a_write_never_leads_outside(inside: Path) -> None:
    outside = inside.parent / "outside"
    outside.mkdir()
    (inside / "real").mkdir()
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            with suppress(OSError):
                (inside / "at").symlink_to("../outside")
                (inside / "at").rename(inside / "dir")
            with suppress(OSError):
                (inside / "dir").unlink()
            with suppress(OSError):
                (inside / "real").rename(inside / "dir")
                (inside / "dir").rename(inside / "real")

    attacker = threading.Thread(target=swap)
    attacker.start()
    try:
        with rooted(inside) as root:
            for number in range(300):
                with suppress(OSError):
                    put(root, f"/dir/new/{number}", b"data")
                with suppress(OSError):
                    removing.remove(root, "/dir/new", recursive=True)
    finally:
        over.set()
        attacker.join()
    assert list(outside.iterdir()) == []


def test_link_to_nothing_is_not_written_through(root: Root, inside: Path) -> None:
    (inside / "link").symlink_to("/gone/away")
    with pytest.raises(FileNotFoundError):
        put(root, "/link", b"data")
    assert not (inside / "gone").exists()


# --- kinds of files -------------------------------------------------------------------------------


def test_pipe_is_refused_and_never_waited_for(root: Root, inside: Path) -> None:
    os.mkfifo(inside / "pipe")
    for work in (lambda: content(root, "/pipe"), lambda: put(root, "/pipe", b"data")):
        with pytest.raises(OSError, match="not a file"):
            work()
    assert looking.status(root, "/pipe").files[0].kind == "other"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_device_is_refused(root: Root, inside: Path) -> None:
    os.mknod(inside / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    with pytest.raises(OSError, match="not a file"):
        put(root, "/null", b"data")


def test_write_makes_directories_and_keeps_the_mode_of_what_was_there(
    root: Root, inside: Path
) -> None:
    put(root, "/a/b/c.txt", b"long content")
    made = inside / "a" / "b" / "c.txt"
    assert stat.S_IMODE(made.stat().st_mode) == 0o644
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o755
    made.chmod(0o600)
    put(root, "/a/b/c.txt", b"short")
    assert made.read_bytes() == b"short"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_new_files_belong_to_whom_the_container_runs_as(inside: Path) -> None:
    root = Root(os.open(inside, os.O_PATH | os.O_DIRECTORY), Owner(1234, 4321))
    put(root, "/new/file", b"")
    root.close()
    for path in (inside / "new", inside / "new" / "file"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/none", "not_found"),
        ("/none/file", "not_found"),
        ("/directory", "is_directory"),
        ("/file/below", "not_directory"),
        ("/loop", "other"),
    ],
)
def test_refusals_have_their_kind(root: Root, inside: Path, path: str, kind: str) -> None:
    (inside / "directory").mkdir()
    (inside / "file").touch()
    (inside / "loop").symlink_to("loop")
    with pytest.raises(OSError) as caught:
        content(root, path)
    told = failure(caught.value, path)
    assert told.kind == kind
    assert told.message.startswith(f"{path}: ")


# --- directories ----------------------------------------------------------------------------------


def test_directory_is_listed_in_parts_with_names_and_targets(root: Root, inside: Path) -> None:
    (inside / "etc").mkdir()
    (inside / "etc" / "passwd").write_text(f"me:x:{OWN.uid}:0::/:\nbad line\n:::\n")
    (inside / "d").mkdir()
    (inside / "d" / "file").write_text("four")
    (inside / "d" / "link").symlink_to("/x")
    listed = looking.entries(root, "/d", "")
    assert [(f.path, f.kind, f.owner, f.target) for f in listed.files] == [
        ("/d/file", "file", "me", None),
        ("/d/link", "symlink", "me", "/x"),
    ]
    assert [f.path for f in looking.entries(root, "/d", "file").files] == ["/d/link"]
    assert not listed.more


def test_names_that_are_no_text_are_listed_all_the_same(root: Root, inside: Path) -> None:
    Path(os.fsdecode(os.fsencode(inside) + b"/\xff")).touch()
    assert looking.entries(root, "/", "").files[0].path == "/\ufffd"


def test_full_directory_is_removed_only_when_asked_for(root: Root, inside: Path) -> None:
    (inside / "d" / "e").mkdir(parents=True)
    (inside / "d" / "e" / "file").touch()
    (inside / "d" / "out").symlink_to(inside.parent)
    with pytest.raises(OSError) as caught:
        removing.remove(root, "/d", recursive=False)
    assert failure(caught.value, "/d").kind == "not_empty"
    removing.remove(root, "/d", recursive=True)
    assert not (inside / "d").exists()
    assert (inside.parent / "secret").exists()


def test_tree_deeper_than_descriptors_allow_is_refused(root: Root, inside: Path) -> None:
    at = os.open(inside, os.O_RDONLY)
    for _ in range(removing.DEEPEST + 2):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(OSError, match="deeper than"):
        removing.remove(root, "/d", recursive=True)
    shutil.rmtree(inside / "d")


def test_root_itself_can_not_be_removed(root: Root) -> None:
    for path in ("/", "/..", "/a/.."):
        with pytest.raises(OSError, match="must end in a name"):
            removing.remove(root, path, recursive=True)


def test_directory_made_without_parents_must_be_new(root: Root, inside: Path) -> None:
    root.make_path("/a", parents=False)
    root.make_path("/a", parents=True)
    with pytest.raises(FileExistsError):
        root.make_path("/a", parents=False)
    with pytest.raises(FileNotFoundError):
        root.make_path("/none/a", parents=False)


# --- watches --------------------------------------------------------------------------------------


def events(watched: Watched) -> list[tuple[str, ...]]:
    return [(event.kind, *event.paths) for event in watched.take()]


def test_watch_follows_new_and_renamed_directories(root: Root, inside: Path) -> None:
    (inside / "w" / "old").mkdir(parents=True)
    watched = Watched(root, "/w", recursive=True, kinds=("create", "modify", "remove"))
    (inside / "w" / "new" / "deep").mkdir(parents=True)
    assert events(watched) == [("create", "/w/new"), ("create", "/w/new/deep")]
    (inside / "w" / "old").rename(inside / "w" / "moved")
    assert events(watched) == [("modify", "/w/old", "/w/moved")]
    (inside / "w" / "moved" / "file").touch()
    (inside / "w" / "new" / "deep" / "file").touch()
    assert {e for e in events(watched) if e[0] == "create"} == {
        ("create", "/w/moved/file"),
        ("create", "/w/new/deep/file"),
    }
    (inside / "w" / "moved").rename(inside / "gone")
    (inside / "gone" / "file").unlink()
    assert events(watched) == [("modify", "/w/moved")]
    watched.close()


def test_watch_of_a_directory_tells_of_its_own_entries_alone(root: Root, inside: Path) -> None:
    (inside / "w" / "d").mkdir(parents=True)
    watched = Watched(root, "/w", recursive=False, kinds=("create",))
    (inside / "w" / "d" / "deep").touch()
    (inside / "w" / "file").touch()
    assert events(watched) == [("create", "/w/file")]
    watched.close()


def test_watch_covers_nothing_a_link_leads_to(root: Root, inside: Path) -> None:
    outside = inside.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    (inside / "w").mkdir()
    (inside / "w" / "link").symlink_to(outside)
    watched = Watched(root, "/w", recursive=True, kinds=None)
    (inside / "w" / "later").symlink_to(outside)
    (outside / "file").touch()
    (outside / "deep" / "file").touch()
    assert events(watched) == [("create", "/w/later")]
    watched.close()


def test_watch_of_a_file_tells_of_its_end(root: Root, inside: Path) -> None:
    (inside / "file").touch()
    watched = Watched(root, "/file", recursive=False, kinds=("remove",))
    (inside / "file").unlink()
    assert events(watched) == [("remove", "/file")]
    watched.close()


def test_watch_of_nothing_is_refused(root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        Watched(root, "/none", recursive=False, kinds=None)


# --- threads --------------------------------------------------------------------------------------


async def test_threads_have_no_capability_a_container_would_not_have() -> None:
    threads = Threads(1)
    try:
        text = await threads.run(Path("/proc/thread-self/status").read_text)
    finally:
        threads.close()
    own = await asyncio.to_thread(Path("/proc/thread-self/status").read_text)
    sets = dict(line.split(":\t") for line in text.splitlines() if line.startswith("Cap"))
    for name in ("CapEff", "CapPrm"):
        assert int(sets[name], 16) & ~0b1011 == 0
    assert os.geteuid() != 0 or f"CapEff:\t{sets['CapEff']}" not in own
