"""`python -m tests.security.unguarded [ROW...]`: takes each guard of the table of threats away, in a copy
of the source tree, and sees that its tests fail without it. 1: one didn't notice; 2: usage.

A row is called by its key, or the beginning of that; `--list` shows all.
"""

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from tests.security.mutation import ROOT, Mutation, Row, rows
from tests.security.mutations import ALL

LIMIT_S: Final = 600.0
SHOWN: Final = 110
"""Characters of why a test failed."""
NETWORK_FILE: Final = "services/server/squall_server/machine.py"
NETWORK_LINE: Final = 'NETWORK: Final = "squall"\n'
NETWORK_VARIABLE: Final = "SQUALL_BUILDER_NETWORK"
NETWORKS: Final = ("", "-blocked", "-build")
"""How the names of those end that are made for containers and builds."""


class Outcome(NamedTuple):
    """What pytest says of some tests."""

    passed: int = 0
    failed: tuple[str, ...] = ()
    """Why, one line for each."""
    broken: tuple[str, ...] = ()
    """Errors of collection, imports and fixtures: nothing was tried."""
    skipped: tuple[str, ...] = ()

    @property
    def is_caught(self) -> bool:
        return bool(self.failed)

    @property
    def is_good(self) -> bool:
        return self.passed > 0 and not (self.failed or self.broken or self.skipped)

    @property
    def told(self) -> str:
        for kind in ("failed", "broken", "skipped"):
            if found := getattr(self, kind):
                return f"{kind}: {found[0]}"
        return f"{self.passed} passed" if self.passed else "no test ran"


def main(argv: Sequence[str] | None = None) -> int:
    """See the module."""
    options = _parser().parse_args(argv)
    chosen = [row for row in rows() if not options.rows or row.key.startswith(tuple(options.rows))]
    unknown = [k for k in options.rows if not any(row.key.startswith(k) for row in chosen)]
    if unknown:
        print(f"no row is called {', '.join(unknown)}: see --list", file=sys.stderr)
        return 2
    if options.list:
        for row in chosen:
            print(f"{row.key:32} {row.attack}")
            for mutation in of(row):
                print(f"{'':32}   without: {mutation.guard}")
        return 0
    missed = []
    with prepared() as (tree, environment):
        for row in chosen:
            missed += _tried(row, tree, environment, baseline=options.baseline)
    count = sum(len(of(row)) for row in chosen)
    print(f"{count - len(missed)} of {count} guards of {len(chosen)} rows: caught without them")
    for line in missed:
        print(f"NOT CAUGHT {line}")
    return 1 if missed else 0


def of(row: Row) -> list[Mutation]:
    return [each for each in ALL if each.row == row.key]


def _tried(row: Row, tree: Path, environment: dict[str, str], *, baseline: bool) -> list[str]:
    """What was not caught, each in a line."""
    missed = []
    print(f"{row.key}: {row.attack}", flush=True)
    with tempfile.TemporaryDirectory(prefix="squall-unguarded-") as name:
        copy = Path(name, "tree")
        shutil.copytree(tree, copy, symlinks=True)
        paths = {**environment, "PYTHONPATH": packages(copy)}
        check_that_the_copy_wins(copy, paths)
        if baseline:
            tests = dict.fromkeys(test for each in of(row) for test in each.tests)
            outcome = ran(copy, paths, tuple(tests))
            print(f"  {'ok' if outcome.is_good else 'NOT OK'} with all guards: {outcome.told}")
            if not outcome.is_good:
                return [f"{row.key}: with all guards {outcome.told}"]
        for mutation in of(row):
            with without(mutation, copy):
                outcome = ran(copy, paths, mutation.tests, "--maxfail=1")
            verdict = "caught" if outcome.is_caught else "NOT CAUGHT"
            print(f"  {verdict} without: {mutation.guard} ({outcome.told})", flush=True)
            if not outcome.is_caught:
                missed.append(f"{row.key}: {mutation.guard} ({outcome.told})")
    return missed


# --- the copy -------------------------------------------------------------------------------------


@contextmanager
def prepared() -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the source tree, compiled, and the environment its tests run in.

    Docker's networks outlive who makes them, so those made without a guard have names of their own.
    """
    network = f"squall-unguarded-{secrets.token_hex(4)}"
    environment = {**os.environ, NETWORK_VARIABLE: f"{network}{NETWORKS[-1]}"}
    with tempfile.TemporaryDirectory(prefix="squall-unguarded-") as name:
        tree = Path(name, "tree")
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for path in filter(None, listed.stdout.split("\0")):
            target = tree / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, target, follow_symlinks=False)
        _replace(tree / NETWORK_FILE, NETWORK_LINE, NETWORK_LINE.replace("squall", network))
        # Each row's copy would be compiled anew, and each process in it wait for that.
        folders = [str(tree / each) for each in ("contracts", "sdk", "services", "tests")]
        compiling = [sys.executable, "-m", "compileall", "-q", *folders]
        subprocess.run(compiling, capture_output=True, check=False)
        yield tree, environment


def packages(tree: Path) -> str:
    """Where Python finds the packages of a tree, before those that are installed."""
    return os.pathsep.join(dict.fromkeys(str((tree / each).parent) for each in _places(tree)))


def _places(tree: Path) -> list[str]:
    """The packages' folders in the tree."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())
    found: list[str] = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return found


def check_that_the_copy_wins(tree: Path, environment: dict[str, str]) -> None:
    """RuntimeError: the tests would run against something else."""
    for_each = "; ".join(
        f"import {each.rpartition('/')[2]} as m; print(m.__path__[0])" for each in _places(tree)
    )
    said = subprocess.run(
        [sys.executable, "-c", for_each],
        cwd=tree, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    if found := [
        line for line in said.stdout.split("\n") if line and not line.startswith(str(tree))
    ]:
        raise RuntimeError(f"{', '.join(found)}: not of the copy at {tree}")


@contextmanager
def without(mutation: Mutation, tree: Path) -> Iterator[None]:
    """The guard is away within the block."""
    path = tree / mutation.file
    whole = path.read_text()
    _replace(path, mutation.old, mutation.new)
    try:
        yield
    finally:
        path.write_text(whole)
        _forget_compiled(path)


def _replace(path: Path, old: str, new: str) -> None:
    """ValueError: `old` isn't there once."""
    text = path.read_text()
    if text.count(old) != 1:
        raise ValueError(f"{path.name} has {text.count(old)} of {old!r}")
    path.write_text(text.replace(old, new))
    _forget_compiled(path)


def _forget_compiled(path: Path) -> None:
    """Of two texts of one length within a second Python takes one for the other."""
    for each in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        each.unlink()


def remove_networks(environment: dict[str, str]) -> None:
    """Those of a run that is over: the next is to make its own, with the guards it has."""
    name = environment[NETWORK_VARIABLE].removesuffix(NETWORKS[-1])
    if shutil.which("docker") is not None:
        made = [f"{name}{end}" for end in NETWORKS]
        subprocess.run(["docker", "network", "rm", *made], capture_output=True, check=False)


# --- pytest ---------------------------------------------------------------------------------------


def ran(tree: Path, environment: dict[str, str], tests: Sequence[str], *options: str) -> Outcome:
    """What becomes of these tests in that tree."""
    with tempfile.TemporaryDirectory(prefix="squall-unguarded-") as name:
        report, folder = Path(name, "report.xml"), Path(name, "tests")
        command = [
            sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider",
            "-p", "no:randomly", f"--basetemp={folder}", f"--junitxml={report}", *options, *tests,
        ]  # fmt: skip
        with subprocess.Popen(
            command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as running:
            try:
                said, _ = running.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                running.kill()
                return Outcome(broken=(f"not done within {LIMIT_S:g} s",))
            finally:
                remove_networks(environment)
        if not report.exists():
            return Outcome(broken=(said.decode("utf-8", "replace")[-SHOWN:].strip(),))
        return read(report)


def read(report: Path) -> Outcome:
    """A report in the format of JUnit."""
    passed = 0
    why: dict[str, list[str]] = {"failure": [], "error": [], "skipped": []}
    for case in ElementTree.parse(report).iter("testcase"):
        found = [each for each in case if each.tag in why]
        passed += not found
        for each in found:
            said = " ".join(each.get("message", "").split())
            why[each.tag].append(f"{case.get('name')}: {said}"[:SHOWN])
    return Outcome(passed, tuple(why["failure"]), tuple(why["error"]), tuple(why["skipped"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.security.unguarded", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="its key, or how that begins")
    parser.add_argument("--list", action="store_true", help="show the rows and their guards")
    parser.add_argument(
        "--no-baseline",
        dest="baseline",
        action="store_false",
        help="don't see first that the tests pass with all guards",
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
