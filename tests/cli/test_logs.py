"""`squall app logs` and `squall container logs`: which lines, of what, from when."""

import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall.cli.times import moment_of
from squall.exception import InvalidError

from .conftest import Squall

PROGRAM = """
import sys
import squall

app = squall.App("talks")

@app.function()
def many(count: int):
    for number in range(count):
        print(f"many {number}")

@app.function()
def few(words: str):
    print(f"Few {words}")
    print(f"to errors: {words}", file=sys.stderr)

@app.local_entrypoint()
def main():
    many.remote(300)
    few.remote("first")
    few.remote("second")
"""


def test_a_time_is_so_long_ago_or_a_date() -> None:
    assert moment_of("--since", "90", 1000.0) == 910.0
    assert moment_of("--since", "10m", 1000.0) == 400.0
    assert moment_of("--since", "1h30m", 10_000.0) == 4600.0
    assert moment_of("--since", "1970-01-01T00:10:00+00:00", 0.0) == 600.0
    local = datetime.datetime(2026, 1, 31, 8).astimezone().timestamp()
    assert moment_of("--since", "2026-01-31 08:00", 0.0) == local


@given(st.text(alphabet="mhsd +-.:T", max_size=12))
def test_what_is_no_time_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(InvalidError, match="--since"):
        moment_of("--since", text, 0.0)


@pytest.fixture
def logs(
    squall: Squall, stack: dict[str, str], write: Callable[[str, str], Path]
) -> Callable[..., str]:
    """`logs(*argv)`: what `squall app logs` prints of an app that has run."""
    write("talks.py", PROGRAM)
    ran = squall("run", "-q", "talks.py", **stack)
    assert ran.returncode == 0, ran.stderr
    listed = json.loads(squall("app", "list", "--all", "--json", **stack).stdout)
    app_id = max(
        (each for each in listed if each["name"] == "talks"),
        key=lambda each: float(each["created_unix_s"]),
    )["app_id"]

    def read(*argv: str) -> str:
        done = squall("app", "logs", app_id, *argv, **stack)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return read


def told(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_lines_are_chosen_by_number_words_function_container_and_time(
    logs: Callable[..., str], squall: Squall, stack: dict[str, str]
) -> None:
    assert len(logs("--json").splitlines()) == 100
    everything = told(logs("--json", "--since", "1h"))
    assert len(everything) == 304
    found = logs("--search", "FEW").splitlines()
    assert found == ["Few first", "Few second"]
    assert logs("--search", "many 29", "--tail", "2").splitlines() == ["many 298", "many 299"]
    errors = [each for each in everything if each["source"] == "stderr"]
    assert [each["text"] for each in errors] == ["to errors: first", "to errors: second"]
    few = told(logs("--function", "few", "--json"))
    assert {each["function"] for each in few} == {"few"}
    assert len(few) == 4
    container = few[0]["container"]
    assert told(logs("--container", container, "--json")) == [
        each for each in few if each["container"] == container
    ]
    alone = squall("container", "logs", container, "--json", "--search", "first", **stack)
    assert [each["text"] for each in told(alone.stdout)] == ["Few first", "to errors: first"]
    moments = sorted({each["at_unix_s"] for each in everything})
    middle = (moments[len(moments) // 2 - 1] + moments[len(moments) // 2]) / 2
    at = datetime.datetime.fromtimestamp(middle, datetime.UTC).isoformat()
    after = [each for each in everything if each["at_unix_s"] >= middle]
    assert after
    assert told(logs("--json", "--since", at)) == after
    before = [each for each in everything if each["at_unix_s"] < middle]
    assert before
    assert told(logs("--json", "--until", at, "--tail", "1000")) == before


@pytest.fixture
def following(stack: dict[str, str], environment: dict[str, str], home: Path) -> Iterator[Any]:
    process = subprocess.Popen(
        [sys.executable, "-m", "squall.cli", "app", "logs", "kept", "-f", "--search", "said"],
        cwd=home, env={**environment, **stack}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.terminate()
    process.communicate(timeout=30)


KEPT = """
import squall

app = squall.App("kept")

@app.function()
def say(words: str):
    print("not this")
    print(f"said {words}")
"""


def test_followed_lines_begin_with_those_there_are(
    squall: Squall,
    stack: dict[str, str],
    write: Callable[[str, str], Path],
    request: pytest.FixtureRequest,
) -> None:
    write("kept.py", KEPT)
    assert squall("deploy", "kept.py", **stack).returncode == 0
    write(
        "call.py",
        "import squall, sys\nsquall.Function.from_name('kept', 'say').remote(sys.argv[1])",
    )
    env = {**request.getfixturevalue("environment"), **stack}

    def call(words: str) -> None:
        subprocess.run([sys.executable, "call.py", words], cwd=request.getfixturevalue("home"),
                       env=env, check=True, timeout=60)  # fmt: skip

    call("one")
    lines = request.getfixturevalue("following").stdout
    assert next(lines) == "said one\n"
    call("two")
    assert next(lines) == "said two\n"


def test_options_that_do_not_go_together_are_refused(squall: Squall, stack: dict[str, str]) -> None:
    for argv, words in (
        (["--until", "5m", "-f"], "--until"),
        (["--since", "1m", "--until", "5m"], "--until is before --since"),
        (["--since", "soon"], "'soon' is no time"),
        (["--container", "c.t"], "container"),
    ):
        done = squall("app", "logs", "none", *argv, **stack)
        assert done.returncode != 0
        assert words in done.stderr or "no app" in done.stderr
