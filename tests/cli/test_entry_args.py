"""The command line a function's signature makes."""

import datetime
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import pytest
from squall.cli.entry_args import EntryArgs, UsageError, parse
from squall.exception import InvalidError

DAY = datetime.datetime.fromisoformat("2025-01-31")
MOMENT = datetime.datetime.fromisoformat("2025-01-31T10:20:30")


def of(function: Callable[..., object], *argv: str) -> EntryArgs:
    return parse(function, argv, called="f")


def text(x: str) -> None: ...
def whole(x: int) -> None: ...
def real(x: float) -> None: ...
def flag(x: bool) -> None: ...
def flag_off(x: bool = False) -> None: ...
def flag_on(x: bool = True) -> None: ...
def date(x: datetime.datetime) -> None: ...
def raw(x) -> None: ...  # type: ignore[no-untyped-def]
def anything(x: Any) -> None: ...
def maybe(x: int | None = None) -> None: ...
def maybe_old(x: Optional[float] = None) -> None: ...  # noqa: UP045 - the old spelling is under test
def maybe_flag(x: bool | None = None) -> None: ...
def word(x: Literal["a", "b"]) -> None: ...
def number(x: Literal[1, 2] = 1) -> None: ...
def maybe_word(x: Literal["a", "b"] | None = None) -> None: ...
def annotated(x: Annotated[int, "a count"]) -> None: ...
def quoted(x: "int") -> None: ...
def dashed(batch_size: int = 3) -> None: ...
def nothing() -> None: ...
def only_keyword(*, x: int) -> None: ...
def percent(x: str = "100%") -> None: ...


@pytest.mark.parametrize(
    ("function", "argv", "kwargs"),
    [
        (text, ["--x", "hi"], {"x": "hi"}),
        (text, ["--x=hi"], {"x": "hi"}),
        (text, ["--x", "-starts-with-dash"], {"x": "-starts-with-dash"}),
        (text, ["--x", "--x"], {"x": "--x"}),
        (text, ["--x", ""], {"x": ""}),
        (whole, ["--x", "-3"], {"x": -3}),
        (real, ["--x", "1e3"], {"x": 1000.0}),
        (real, ["--x", "-.5"], {"x": -0.5}),
        (flag, ["--x"], {"x": True}),
        (flag, ["--no-x"], {"x": False}),
        (flag_off, [], {}),
        (flag_on, ["--no-x"], {"x": False}),
        (date, ["--x", "2025-01-31"], {"x": DAY}),
        (date, ["--x", "2025-01-31 10:20:30"], {"x": MOMENT}),
        (raw, ["--x", "3"], {"x": "3"}),
        (anything, ["--x", "3"], {"x": "3"}),
        (maybe, [], {}),
        (maybe, ["--x", "3"], {"x": 3}),
        (maybe_old, ["--x", "3"], {"x": 3.0}),
        (maybe_flag, ["--no-x"], {"x": False}),
        (word, ["--x", "b"], {"x": "b"}),
        (number, ["--x", "2"], {"x": 2}),
        (maybe_word, ["--x", "a"], {"x": "a"}),
        (annotated, ["--x", "2"], {"x": 2}),
        (quoted, ["--x", "2"], {"x": 2}),
        (dashed, ["--batch-size", "5"], {"batch_size": 5}),
        (nothing, [], {}),
        (only_keyword, ["--x", "4"], {"x": 4}),
    ],
)
def test_options_become_typed_arguments(
    function: Callable[..., object], argv: list[str], kwargs: dict[str, object]
) -> None:
    assert of(function, *argv) == EntryArgs((), kwargs)


@pytest.mark.parametrize(
    ("function", "argv", "says"),
    [
        (text, [], "--x"),
        (text, ["--x"], "--x"),
        (whole, ["--x", "1.5"], "invalid int value: '1.5'"),
        (real, ["--x", "much"], "invalid float value: 'much'"),
        (flag, [], "--x"),
        (date, ["--x", "yesterday"], "'yesterday' is not a date"),
        (word, ["--x", "c"], "invalid choice"),
        (number, ["--x", "3"], "invalid choice"),
        (nothing, ["--x", "1"], "unrecognized arguments: --x 1"),
        (nothing, ["word"], "unrecognized arguments: word"),
        (dashed, ["--batch", "1"], "unrecognized arguments: --batch 1"),
    ],
)
def test_command_line_that_does_not_fit_is_a_usage_error(
    function: Callable[..., object], argv: list[str], says: str
) -> None:
    with pytest.raises(UsageError) as refused:
        of(function, *argv)
    assert says in str(refused.value)
    assert "squall run f --help" in str(refused.value)
    assert "\n" not in str(refused.value)


def listed(x: list[int]) -> None: ...
def either(x: int | str) -> None: ...
def mixed(x: Literal[1, "a"]) -> None: ...
def boolean_choice(x: Literal[True]) -> None: ...
def keywords(**x: int) -> None: ...
def positional(x: int, /) -> None: ...
def star_and_more(y: int, *x: str) -> None: ...
def unknown_name(x: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "function",
    [listed, either, mixed, boolean_choice, keywords, positional, star_and_more, unknown_name],
)
def test_signature_a_command_line_cannot_give_is_refused(function: Callable[..., object]) -> None:
    with pytest.raises(InvalidError, match=r"^f: ") as refused:
        of(function, "--x", "1")
    assert "\n" not in str(refused.value)


def test_lone_star_takes_the_raw_command_line() -> None:
    def star(*argv: str) -> None: ...

    assert of(star, "--a", "b", "--help") == EntryArgs(("--a", "b", "--help"), {})


def test_help_lists_options_with_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(percent, ["--help"], called="job.py::percent", doc="Count things.\n\n    And more.")
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "squall run job.py::percent" in shown
    assert "Count things." in shown
    assert "default: 100%" in shown


def test_parameter_called_help_is_an_option_like_any_other() -> None:
    def helped(help: str) -> None: ...

    assert of(helped, "--help", "me") == EntryArgs((), {"help": "me"})
