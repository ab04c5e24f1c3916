"""The public types: what a checker infers, and what it refuses. One run of mypy serves all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("typing")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found() -> dict[str, set[int]]:
    """The lines mypy complains about, by file name."""
    files = [str(HERE / "positive.py"), str(HERE / "negative.py")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines: dict[str, set[int]] = {"positive.py": set(), "negative.py": set()}
    for match in re.finditer(r"^(\S+):(\d+): error: ", done.stdout, re.MULTILINE):
        lines.setdefault(Path(match[1]).name, set()).add(int(match[2]))
    assert done.stdout or done.returncode == 0, done.stderr
    return lines


@pytest.mark.slow
def test_types_are_inferred_through_every_form(found: dict[str, set[int]]) -> None:
    assert found["positive.py"] == set()


@pytest.mark.slow
def test_wrong_arguments_and_results_are_refused(found: dict[str, set[int]]) -> None:
    text = (HERE / "negative.py").read_text().splitlines()
    marked = {at for at, line in enumerate(text, 1) if line.endswith("# error")}
    assert found["negative.py"] == marked
