"""What a person reads when a command failed, and the status it ends with."""

import linecache
from collections.abc import Callable
from pathlib import Path

import pytest
from squall import exception
from squall.cli import report
from squall.cli.entry_args import UsageError


def raised(work: Callable[[], object]) -> BaseException:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    raise AssertionError("nothing was raised")


def compiled(source: str, filename: str) -> Callable[[], object]:
    """A function `f` of `source`, as if it stood in `filename`."""
    names: dict[str, Callable[[], object]] = {}
    exec(compile(source, filename, "exec"), names)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return names["f"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no"), 2),
        (exception.InvalidError("no"), 2),
        (exception.AuthError("no"), 2),
        (exception.ConnectionError("no"), 2),
        (exception.ImageBuildError("no"), 1),
        (exception.NotFoundError("no"), 1),
        (exception.FunctionTimeoutError("no"), 1),
        (ValueError("no"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_status_tells_whose_fault_it_was(error: BaseException, status: int) -> None:
    def work() -> int:
        raise error

    assert report.guarded(work) == status


def test_own_errors_are_one_line_with_the_users_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (
        "from squall.exception import InvalidError\ndef f():\n    raise InvalidError('a\\nb')\n"
    )
    assert report.explain(raised(compiled(source, str(tmp_path / "job.py")))) == 2
    assert capsys.readouterr().err == "b\nsquall: InvalidError: a (job.py:3)\n"


def test_user_exceptions_keep_their_own_frames_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(report.TRACEBACK_VARIABLE, raising=False)
    inner = compiled("def f():\n    return 1 / 0\n", "<ct-1>:/root/job.py")
    ours = compiled(
        "import builtins\ndef f():\n    return builtins.inner()\n",
        str(Path(report.__file__).parent / "somewhere.py"),
    )
    outer = compiled("import builtins\ndef f():\n    return builtins.ours()\n", "/home/u/job.py")
    monkeypatch.setattr("builtins.inner", inner, raising=False)
    monkeypatch.setattr("builtins.ours", ours, raising=False)
    assert report.explain(raised(outer)) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last):\n")
    assert shown.endswith("ZeroDivisionError: division by zero\n")
    assert 'File "/home/u/job.py", line 3, in f' in shown
    assert 'File "<ct-1>:/root/job.py", line 2, in f\n    return 1 / 0' in shown
    assert "somewhere.py" not in shown


def test_whole_traceback_is_shown_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(report.TRACEBACK_VARIABLE, "1")
    report.explain(raised(compiled("def f():\n    raise KeyError('x')\n", report.__file__)))
    assert report.__file__ in capsys.readouterr().err


def test_fault_of_our_own_is_called_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(report.TRACEBACK_VARIABLE, raising=False)
    report.explain(KeyError("x"))
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "internal error: KeyError: 'x'" in shown
    assert report.TRACEBACK_VARIABLE in shown
