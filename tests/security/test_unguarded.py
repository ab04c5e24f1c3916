"""The table of threats, its tests, and what takes its guards away: they can't drift apart."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from .mutation import ROOT, Mutation, Row, rows, without_parameters
from .mutations import ALL

NAMED = re.compile(r"`([^`]+)`")
EVERY = pytest.mark.parametrize(
    "mutation", ALL, ids=lambda each: f"{each.row}: {each.guard}".replace("/", "|")
)


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(each.name for each in ast.walk(tree) if isinstance(each, functions))


@EVERY
def test_what_is_replaced_is_there_once(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.old != mutation.new


@EVERY
def test_tests_that_notice_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for path, name in map(without_parameters, mutation.tests):
        assert name.startswith("test_") and name in names_in(path), name


def test_every_attack_has_its_guards_taken_away() -> None:
    keys = [row.key for row in rows()]
    assert len(set(keys)) == len(keys) > 20
    assert {mutation.row for mutation in ALL} == set(keys)
    assert len({(each.file, each.old, each.new, each.tests) for each in ALL}) == len(ALL)


def named(row: Row, files: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The file and a part of the name of each test of a row; `files`: those named so far."""
    path = ""
    for reference in NAMED.findall(row.tests):
        place, _, name = reference.rpartition("::") if "::" in reference else ("", "", reference)
        if reference.endswith(".py"):
            place, name = reference, ""
        if place:
            path = place if "/" in place else files.get(place, f"tests/security/{place}")
            files[path.rpartition("/")[2]] = path
        yield path, name.strip("…")


def test_tests_the_table_names_exist() -> None:
    files: dict[str, str] = {}
    for row in rows():
        for path, part in named(row, files):
            assert (ROOT / path).is_file(), (row.attack, path)
            fitting = [name for name in names_in(path) if part in name]
            assert fitting, (row.attack, path, part)


def test_tests_that_notice_are_in_files_the_table_names() -> None:
    files: dict[str, str] = {}
    tabled = {row.key: {path for path, _ in named(row, files)} for row in rows()}
    for mutation in ALL:
        for path, _ in map(without_parameters, mutation.tests):
            assert path in tabled[mutation.row], (mutation.row, path)
