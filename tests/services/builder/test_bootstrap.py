"""The base from Debian packages: what is checked before, and what is done to the fresh tree."""

from pathlib import Path

import pytest
from squall_builder.bootstrap import BootstrapError, base_tag, check_request, finish_tree


def test_the_version_a_suite_ships_is_the_one_it_gives() -> None:
    assert check_request(None, "bookworm") == "3.11"
    assert check_request("3.13", "trixie") == "3.13"
    assert base_tag("bookworm", "3.11") == "squall-base:bookworm-py3.11"


@pytest.mark.parametrize(
    ("python", "suite", "remedy"),
    [
        ("3.13", "bookworm", "use --suite trixie"),
        ("3.12", "bookworm", "no Debian release has that version"),
        (None, "sarge", "choose one of"),
    ],
)
def test_a_version_no_suite_has_is_refused_with_the_way_out(
    python: str | None, suite: str, remedy: str
) -> None:
    with pytest.raises(BootstrapError, match=remedy):
        check_request(python, suite)


def tree(root: Path) -> Path:
    for folder in ("usr/bin", "usr/sbin", "usr/lib/python3.11", "etc/apt", "var/lib/apt/lists/x"):
        (root / folder).mkdir(parents=True)
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").touch()
    (root / "var/lib/apt/lists/x/list").touch()
    (root / "etc/apt/sources.list").write_text("deb http://mirror/debian bookworm main\n")
    return root


def test_a_finished_tree_has_python_and_lets_pip_install(tmp_path: Path) -> None:
    root = tree(tmp_path)
    finish_tree(root, "bookworm", None)
    assert (root / "usr/bin/python").readlink() == Path("python3")
    assert not list(root.rglob("EXTERNALLY-MANAGED"))
    assert not list((root / "var/lib/apt/lists").iterdir())
    assert (root / "etc/apt/sources.list").read_text().splitlines() == [
        "deb http://mirror/debian bookworm main",
        "deb http://mirror/debian bookworm-updates main",
        "deb http://mirror/debian-security bookworm-security main",
    ]


def test_a_private_mirror_stays_the_only_source(tmp_path: Path) -> None:
    root = tree(tmp_path)
    finish_tree(root, "bookworm", "http://mirror/debian")
    assert len((root / "etc/apt/sources.list").read_text().splitlines()) == 1
