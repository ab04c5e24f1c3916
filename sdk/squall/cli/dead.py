"""`squall dead`: inputs that failed for good: read them, run them again, throw them away."""

from typing import Annotated, Any

import typer

from squall.cli import control
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, fields_of, moment, show, show_json
from squall.exception import InvalidError

app = typer.Typer(help="Read, retry and purge inputs that failed for good.", no_args_is_help=True)
App = Annotated[str | None, typer.Option("--app", help="Only of this app (name or id).")]
Function = Annotated[str | None, typer.Option("--function", help="Only of this function.")]
Letter = Annotated[str, typer.Argument(metavar="LETTER", help="Id of the letter (in-…).")]
Letters = Annotated[
    list[str] | None, typer.Argument(metavar="LETTER...", help="Ids of letters (in-…).")
]
All = Annotated[bool, typer.Option("--all", help="All that --app and --function leave.")]


def _letters(app_: str | None, function: str | None, env: str | None) -> Any:
    control.require_server()
    from squall.dead_letters import DeadLetters

    def belongs(entry: Any) -> bool:
        return app_ is None or app_ in {entry.app_name, entry.app_id}

    return DeadLetters(
        environment_name=control.environment(env), function_name=function, belongs=belongs
    )


def _chosen(
    letters: list[str] | None, all_: bool, app_: str | None, function: str | None, env: str | None
) -> list[Any]:
    found = _letters(app_, function, env)
    if letters and not all_:
        return [found.get(letter) for letter in letters]
    if letters or not all_:
        raise InvalidError("name the letters, or say --all")
    return list(found)


@app.command("list")
def list_letters(
    app_: App = None, function: Function = None, env: Env = None, json: Json = False
) -> None:
    """List dead letters, oldest first."""
    found = list(_letters(app_, function, env))
    if json:
        show_json([_plain(letter) for letter in found])
        return
    show(
        (
            [
                letter.letter_id,
                letter.app_name,
                letter.function_name,
                str(letter.attempts),
                str(letter.deaths),
                ago(letter.died_unix_s),
                letter.error[:200],
            ]
            for letter in found
        ),
        ["id", "app", "function", "attempts", "deaths", "age", "remark"],
        empty="no dead letters",
    )


@app.command("show")
def show_letter(letter: Letter, env: Env = None, json: Json = False) -> None:
    """Show one letter, with the remote traceback of its last error."""
    found = _letters(None, None, env).get(letter)
    if json:
        show_json(_plain(found))
        return
    print(f"{found.letter_id}: {found.app_name}::{found.function_name}, call {found.call_id}")
    print(f"died {moment(found.died_unix_s)}, attempts {found.attempts}, deaths {found.deaths}")
    if found.entry.parent:
        print(f"called by {found.entry.parent}")
    print(found.traceback.rstrip() or found.error)


@app.command("retry")
def retry(
    letters: Letters = None,
    all_: All = False,
    app_: App = None,
    function: Function = None,
    env: Env = None,
) -> None:
    """Run inputs again, each as a new call whose result is kept for seven days."""
    for letter in _chosen(letters, all_, app_, function, env):
        call = letter.retry()
        say(f"{letter.letter_id} runs again as {call.object_id}")


@app.command("purge")
def purge(
    letters: Letters = None,
    all_: All = False,
    app_: App = None,
    function: Function = None,
    env: Env = None,
) -> None:
    """Throw letters away."""
    chosen = _chosen(letters, all_, app_, function, env)
    for letter in chosen:
        letter.purge()
    say(f"purged {len(chosen)}")


def _plain(letter: Any) -> dict[str, Any]:
    """All but the arguments, which only Python can read."""
    entry = letter.entry
    names = [name for name in fields_of(entry) if name not in {"payload", "failure"}]
    failure = entry.failure
    return {
        **{name: getattr(entry, name) for name in names},
        "kind": failure.kind,
        "error": failure.message,
        "exception_type": failure.exception_type,
        "traceback": failure.traceback,
    }
