"""A command line for a function: `--options` made from its signature, and what they give.

argparse and not typer: importing typer, and pydantic with the first value it reads, takes ten times
as long as all else `squall run` does before the user's file is imported (300 ms against 20).
"""

import argparse
import datetime
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, Union

from squall.exception import InvalidError


class UsageError(Exception):
    """Raised when a command line can't be understood; exit status 2."""


class EntryArgs(NamedTuple):
    """What to call the function with."""

    args: tuple[str, ...]
    kwargs: dict[str, Any]


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(
    function: Callable[..., object],
    argv: Sequence[str],
    *,
    called: str,
    doc: str | None = None,
    beside: Sequence[inspect.Parameter] = (),
) -> EntryArgs:
    """Read `argv` as the arguments of `function`, which messages and help call `called`, and as those
    `beside` them: the parameters of its class.

    InvalidError when the signature has what a command line can't give; UsageError when `argv`
    doesn't fit; SystemExit(0) after `--help` was printed.
    """
    own = _parameters(function, called)
    taken = {parameter.name for parameter in beside}
    for parameter in own:
        if parameter.name in taken:
            raise InvalidError(
                f"{called}: the class and the method both have a parameter {parameter.name!r}, which "
                "a command line can't tell apart: rename one"
            )
    parameters = [*beside, *own]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return _raw(parameters, argv, called)
    parser = Parser(
        prog=f"squall run {called}",
        description=inspect.cleandoc(doc) if doc else None,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=all(p.name != "help" for p in parameters),
        argument_default=argparse.SUPPRESS,  # an option left out leaves the parameter's own default
    )
    takes_value = {_add(parser, parameter, called) for parameter in parameters}
    return EntryArgs((), vars(parser.parse_args(_joined(argv, takes_value))))


def _parameters(function: Callable[..., object], called: str) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError as error:
        raise InvalidError(
            f"{called}: an annotation can't be read ({error}): "
            "import what it names outside TYPE_CHECKING"
        ) from error
    return list(signature.parameters.values())


def _raw(parameters: list[inspect.Parameter], argv: Sequence[str], called: str) -> EntryArgs:
    if len(parameters) > 1:
        raise InvalidError(
            f"{called}: *{_star(parameters).name} must stand alone to take the raw command line: "
            "remove the other parameters or the star"
        )
    return EntryArgs(tuple(argv), {})


def _star(parameters: list[inspect.Parameter]) -> inspect.Parameter:
    return next(p for p in parameters if p.kind is p.VAR_POSITIONAL)


def _joined(argv: Sequence[str], takes_value: set[str]) -> list[str]:
    """`--x -y` as `--x=-y`: what follows an option that takes a value is its value."""
    joined: list[str] = []
    rest = iter(argv)
    for word in rest:
        value = next(rest, None) if word in takes_value else None
        joined.append(word if value is None else f"{word}={value}")
    return joined


def _add(parser: Parser, parameter: inspect.Parameter, called: str) -> str:
    """Give `parser` the parameter's option; returns it if a value follows it, else ""."""
    if parameter.kind in {parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
        raise InvalidError(
            f"{called}: parameter {str(parameter)!r} can't be given on a command line: "
            "make it an ordinary one"
        )
    option = f"--{parameter.name.replace('_', '-')}"
    required = parameter.default is parameter.empty
    kind = _kind(parameter, called)
    shown = "required" if required else f"default: {parameter.default}"
    if kind is bool:
        parser.add_argument(
            option,
            dest=parameter.name,
            action=argparse.BooleanOptionalAction,
            required=required,
            help=shown.replace("%", "%%"),
        )
        return ""
    choices = typing.get_args(kind) if typing.get_origin(kind) is Literal else None
    parser.add_argument(
        option,
        dest=parameter.name,
        type=_reader(type(choices[0]) if choices else kind),
        choices=choices,
        required=required,
        metavar=None if choices else parameter.name.upper(),
        help=shown.replace("%", "%%"),
    )
    return option


def _kind(parameter: inspect.Parameter, called: str) -> Any:
    """The type one value is read as: str, int, float, bool, datetime or a Literal."""
    annotation = _bare(parameter.annotation)
    if annotation in (parameter.empty, Any):
        return str
    if annotation in (str, int, float, bool, datetime.datetime):
        return annotation
    if typing.get_origin(annotation) is Literal:
        kinds = {type(value) for value in typing.get_args(annotation)}
        if kinds in ({str}, {int}):
            return annotation
    raise InvalidError(
        f"{called}: parameter {parameter.name!r} has a type a command line can't give "
        f"({inspect.formatannotation(parameter.annotation)}): use str, int, float, bool, "
        "datetime.datetime, a Literal of all str or all int, or Optional of these"
    )


def _bare(annotation: Any) -> Any:
    """`annotation` without `Annotated[…]` and without `| None`."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (Union, types.UnionType):
        given = [kind for kind in typing.get_args(annotation) if kind is not type(None)]
        if len(given) == 1:
            return _bare(given[0])
    return annotation


def _reader(kind: type) -> Callable[[str], object]:
    return _read_datetime if kind is datetime.datetime else kind


def _read_datetime(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a date: write 2025-01-31 or 2025-01-31T12:30:00"
        ) from error
