"""`squall dict` and `squall queue`, against a running server.

In this very process, since a process for each of these commands would take most of a minute.
"""

import json

import pytest
import squall

from .in_process import Run, complains, run

__all__ = ["run"]


@pytest.mark.parametrize(("kind", "name"), [("dict", "d1"), ("queue", "q1")])
def test_they_are_made_listed_and_removed(run: Run, kind: str, name: str) -> None:
    assert run(kind, "create", name).status == 0
    complains(run(kind, "create", name), 1, "AlreadyExistsError", f"'{name}'")
    assert run(kind, "create", name, "--allow-existing").status == 0
    listed = json.loads(run(kind, "list", "--json").out)
    assert name in [each["name"] for each in listed]
    assert name in run(kind, "list").out
    complains(run(kind, "list", "-e", "nowhere"), 1, "no environment 'nowhere'; there are: ")
    complains(run(kind, "delete", name), 2, "InvalidError", "--yes")
    assert run(kind, "delete", name, "-y").status == 0
    complains(run(kind, "delete", name, "-y"), 1, "NotFoundError", f"'{name}'")
    assert run(kind, "delete", name, "-y", "--allow-missing").status == 0


def test_a_dict_is_read_and_cleared(run: Run) -> None:
    squall.Dict.from_name("d", create_if_missing=True).update({"a": 1, "b": {"c": [2]}})
    assert run("dict", "get", "d", "b").out == "{'c': [2]}\n"
    assert json.loads(run("dict", "get", "d", "b", "--json").out) == {"c": [2]}
    complains(run("dict", "get", "d", "nope"), 2, "InvalidError", "'nope'")
    items = json.loads(run("dict", "items", "d", "--json").out)
    assert sorted(item["key"] for item in items) == ["a", "b"]
    assert len(run("dict", "items", "d", "1").out.splitlines()) == 2
    assert len(run("dict", "items", "d", "1", "--all", "-r").out.splitlines()) == 3
    complains(run("dict", "clear", "d"), 2, "InvalidError", "--yes")
    assert run("dict", "clear", "d", "--yes").status == 0
    assert "empty" in run("dict", "items", "d").out


def test_a_queue_is_looked_into_and_cleared(run: Run) -> None:
    line = squall.Queue.from_name("q", create_if_missing=True)
    line.put_many(["x", {"y": 1}, 3])
    line.put("z", partition="p")
    assert run("queue", "len", "q").out == "3\n"
    assert json.loads(run("queue", "len", "q", "-t", "--json").out) == {"len": 4}
    assert run("queue", "peek", "q", "2").out == "x\n{'y': 1}\n"
    assert json.loads(run("queue", "peek", "q", "-p", "p", "--json").out) == ["z"]
    assert run("queue", "clear", "q", "-y").status == 0
    assert run("queue", "len", "q", "-t").out == "1\n"
    assert run("queue", "clear", "q", "-a", "-y").status == 0
    assert run("queue", "len", "q", "-t").out == "0\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["dict", "create", "a b"], ["InvalidError", "'a b'"]),
        (["queue", "create", "x", "-e", "a.b"], ["InvalidError", "environment"]),
        (["queue", "len", "q", "-p", "x" * 65], ["InvalidError", "partition"]),
        (["queue", "len", "q", "-p", "x", "-t"], ["InvalidError", "total"]),
    ],
)
def test_misuse_is_one_line(run: Run, argv: list[str], words: list[str]) -> None:
    complains(run(*argv), 2, *words)
