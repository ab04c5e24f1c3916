"""`squall secret`: values for functions, which can be set and replaced but never read back."""

import json as json_
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from squall_contracts import secrets as words

from squall.cli import asking, control
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, show, show_json
from squall.exception import InvalidError, NotFoundError

app = typer.Typer(help="Store, list and delete secrets.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the secret.")]


@app.command("create")
def create(
    name: Name,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE...", help="Variables; KEY=- asks for the value, or reads stdin."
        ),
    ] = None,
    *,
    env: Env = None,
    from_dotenv: Annotated[
        Path | None, typer.Option("--from-dotenv", metavar="FILE", help="Read a dotenv file.")
    ] = None,
    from_json: Annotated[
        str | None,
        typer.Option("--from-json", metavar="FILE", help="Read a JSON object; -: from stdin."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the one there is.")] = False,
) -> None:
    """Store a secret. Its values are encrypted before they leave this machine."""
    from squall.secret import Secret

    given = {**_dotenv(from_dotenv), **_json(from_json), **_pairs(values or [])}
    if not given:
        raise InvalidError("no variables: give KEY=VALUE, --from-dotenv or --from-json")
    control.require_server()
    place = control.environment(env)
    Secret.objects.create(name, given, overwrite=force, environment_name=place)
    keys = sorted(key for key, value in given.items() if value is not None)
    say(f"secret {name} in {place}: {', '.join(keys) or 'no variables'}")


@app.command("list")
def list_secrets(env: Env = None, json: Json = False) -> None:
    """List the secrets of an environment, without their values."""
    place = control.environment(env)
    listed: words.SecretList = control.ask(words.ListSecrets(environment=place))
    if json:
        show_json([_plain(each) for each in listed.secrets])
        return
    show(
        (
            [each.name, ", ".join(each.keys), ago(each.created_unix_s), ago(each.updated_unix_s)]
            for each in listed.secrets
        ),
        ["name", "remark", "created", "changed"],
        empty=f"no secrets in {place}",
    )


@app.command("delete")
def delete(
    name: Name,
    *,
    env: Env = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Don't fail when there is none.")
    ] = False,
    yes: asking.Yes = False,
) -> None:
    """Delete a secret. Functions that use it can't start containers any more."""
    place = control.environment(env)
    asking.sure(f"Delete secret {name} in {place}?", yes)
    try:
        control.ask(words.DeleteSecret(environment=place, name=name))
    except NotFoundError:
        if not allow_missing:
            raise
        say(f"there was no secret {name} in {place}")
    else:
        say(f"deleted secret {name} in {place}")


@app.command("rotate-key")
def rotate_key(
    revoke: Annotated[
        bool,
        typer.Option(
            "--revoke", help="Destroy the older keys: copies of secrets kept elsewhere are lost."
        ),
    ] = False,
    yes: asking.Yes = False,
    json: Json = False,
) -> None:
    """Make another sealing key for the workspace, and seal all its secrets to it."""
    if revoke:
        asking.sure("Destroy the sealing keys used so far?", yes)
    done: words.KeyRotated = control.ask(words.RotateSealingKey(revoke=revoke))
    if json:
        show_json(done)
        return
    gone = f"; revoked {', '.join(done.revoked)}" if done.revoked else ""
    say(
        f"key {done.key_id} in use: sealed {done.secrets} secrets and the own ones of "
        f"{done.functions} functions anew{gone}"
    )


def _plain(info: words.SecretInfo) -> dict[str, Any]:
    return {
        "id": info.secret_id,
        "name": info.name,
        "environment": info.environment,
        "keys": info.keys,
        "created_unix_s": info.created_unix_s,
        "updated_unix_s": info.updated_unix_s,
    }


def _pairs(values: Sequence[str]) -> dict[str, str | None]:
    """What stands on the command line. No message repeats it: it may be a value."""
    pairs: dict[str, str | None] = {}
    for number, text in enumerate(values, 1):
        key, separator, value = text.partition("=")
        if not separator:
            raise InvalidError(f"argument {number} after the name is not KEY=VALUE")
        pairs[key] = value
    asked = [key for key, value in pairs.items() if value == "-"]
    if asked and not sys.stdin.isatty():
        if len(asked) > 1:
            raise InvalidError(f"only one value can come from stdin, not {', '.join(asked)}")
        pairs[asked[0]] = sys.stdin.read().removesuffix("\n")
        return pairs
    return {**pairs, **{key: asking.hidden(key) for key in asked}}


def _dotenv(path: Path | None) -> dict[str, str | None]:
    from squall._secret.values import read_dotenv

    if path is None:
        return {}
    if not path.is_file():
        raise InvalidError(f"--from-dotenv: {path} is not a file")
    return read_dotenv(path)


def _json(path: str | None) -> dict[str, str | None]:
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        found = json_.loads(text)
    except OSError as error:
        raise InvalidError(f"--from-json: {path}: {error.strerror}") from error
    except json_.JSONDecodeError as error:
        raise InvalidError(f"--from-json: {path}, line {error.lineno}: {error.msg}") from None
    except ValueError:
        raise InvalidError(f"--from-json: {path} is not text") from None
    if not isinstance(found, dict):
        raise InvalidError(f"--from-json: {path} must hold an object of str to str")
    return found
