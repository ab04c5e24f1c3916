"""Commands run in this very process: one of its own for each would take most of a minute."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from squall import _client
from squall.cli import commands, report


class Done(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(
    stack: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """`run(*argv)`: a command, as `squall` runs it, with no terminal to ask at."""
    _client.shutdown()
    for name, value in stack.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    def command(*argv: str) -> Done:
        capsys.readouterr()
        status = report.guarded(lambda: commands.main(argv))
        return Done(status, *capsys.readouterr())

    yield command
    _client.shutdown()


def complains(done: Done, status: int, *words: str) -> None:
    """It failed with one line that has all of `words`, and printed nothing."""
    assert (done.status, done.out) == (status, ""), done
    assert len(done.err.strip().splitlines()) == 1, done
    for word in words:
        assert word in done.err
