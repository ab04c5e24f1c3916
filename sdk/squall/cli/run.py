"""`squall run FILE`: run an entrypoint here, or a function over there, and wait for it."""

import argparse
import asyncio
import inspect
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, NoReturn

from squall._modal import alias
from squall.cli import class_args, entry_args, loading, refs
from squall.cli.report import INTERRUPTED
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._apps.loader import Runnable

SUMMARY = "Run a function, a method of a class or a local entrypoint of a file."
TERMINATED: Final = 128 + signal.SIGTERM
_NOTHING = object()


def main(argv: Sequence[str]) -> int:
    """Run the command line `argv`; returns the exit status. Errors as squall.exception has them."""
    options = _parser().parse_args(argv)
    reference = refs.parse(options.reference, as_module=options.module)
    if options.env:
        os.environ["SQUALL_ENVIRONMENT"] = options.env
    from squall.cli import servers

    signal.signal(signal.SIGTERM, _terminated)
    alias.use(options.modal)
    asks_help = "--help" in options.rest or "-h" in options.rest
    with servers.for_this_run(detached=options.detach, asks_help=asks_help) as server:
        runnable = loading.runnable(reference)
        function = _function_of(runnable)
        given = entry_args.parse(
            function,
            options.rest,
            called=f"{reference.place}::{runnable.name}",
            doc=function.__doc__,
            beside=class_args.parameters(runnable),
        )
        server.ready(quiet=options.quiet)
        result = _run(runnable, given, options)
    if result is _NOTHING:
        return INTERRUPTED
    if options.write_result:
        _write(options.write_result, result)
    return 0


def _terminated(_number: int, _frame: object) -> NoReturn:
    """Leave as after Ctrl-C: the app is stopped, and a server of this run's own, too."""
    raise SystemExit(TERMINATED)


def _parser() -> entry_args.Parser:
    parser = entry_args.Parser(
        prog="squall run",
        description=SUMMARY,
        usage="squall run [options] FILE[::function|::Class.method] [arguments]",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("reference", metavar="FILE[::function]", help="a .py file; with -m, a module")
    add("rest", metavar="arguments", nargs=argparse.REMAINDER, help="see squall run FILE --help")
    add("-d", "--detach", action="store_true", help="let the app go on when this command ends")
    add("-i", "--interactive", action="store_true", help="let containers use this terminal")
    add("-q", "--quiet", action="store_true", help="show container output only, no progress")
    add("-w", "--write-result", type=Path, metavar="PATH", help="write the str or bytes returned")
    add("-m", "--module", action="store_true", help="take the reference as a module's name")
    add("-n", "--name", help="name of the app for this run")
    add("--modal", action="store_true", help="scripts that import modal get Squall under that name")
    add("-e", "--env", help="environment to run in")
    add("--timestamps", action="store_true", help="put the time before container output")
    return parser


def _function_of(runnable: "Runnable") -> Callable[..., Any]:
    """The user's own function, whose parameters become options."""
    from squall._apps.loader import ClassMethod
    from squall.function import Function

    if isinstance(runnable, ClassMethod):
        return MethodType(runnable.raw, runnable)  # whose signature has no `self`
    if isinstance(runnable, Function):
        return runnable.raw
    if inspect.isgeneratorfunction(runnable.function):
        raise InvalidError(f"{runnable.name}: a local entrypoint can't be a generator")
    return runnable.function


def _run(runnable: "Runnable", given: entry_args.EntryArgs, options: argparse.Namespace) -> object:
    """What the runnable returned; _NOTHING when Ctrl-C ended it."""
    import squall

    assert runnable.app is not None, "what a module declares has an app"
    with (
        squall.enable_output(quiet=options.quiet, timestamps=options.timestamps),
        runnable.app.run(name=options.name, detach=options.detach, interactive=options.interactive),
    ):
        return _call(runnable, given)
    return _NOTHING


def _call(runnable: "Runnable", given: entry_args.EntryArgs) -> object:
    from squall._apps.loader import ClassMethod
    from squall.function import Function

    if isinstance(runnable, ClassMethod):
        runnable, given = class_args.bound(runnable, given)
    if not isinstance(runnable, Function):
        result = runnable(*given.args, **given.kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result
    if runnable.is_generator:
        for item in runnable.remote_gen(*given.args, **given.kwargs):
            print(item, flush=True)
        return None
    result = runnable.remote(*given.args, **given.kwargs)
    if result is not None:
        print(result, flush=True)
    return result


def _write(path: Path, result: object) -> None:
    if isinstance(result, str):
        path.write_text(result)
    elif isinstance(result, bytes):
        path.write_bytes(result)
    else:
        raise InvalidError(
            f"--write-result writes str or bytes, and the function returned {type(result).__name__}"
        )
