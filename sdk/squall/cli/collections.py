"""`squall dict` and `squall queue`: look into what functions share, and throw it away."""

import itertools
import json
import reprlib
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from squall.cli import control
from squall.cli.asking import Yes, sure
from squall.cli.report import say
from squall.cli.tables import Env, Json, ago, moment, show
from squall.exception import InvalidError

dicts = typer.Typer(help="Make, read and remove dicts.", no_args_is_help=True)
queues = typer.Typer(help="Make, look into and remove queues.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]
AllowMissing = Annotated[bool, typer.Option(help="It is fine if there is none.")]
AllowExisting = Annotated[bool, typer.Option(help="It is fine if there is one.")]
Partition = Annotated[
    str | None, typer.Option("--partition", "-p", help="A partition; default: the unnamed one.")
]
SHOWN = 20
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200


def _dict(name: str, env: str | None) -> Any:
    control.require_server()
    from squall import Dict

    return Dict.from_name(name, environment_name=control.environment(env))


def _queue(name: str, env: str | None) -> Any:
    control.require_server()
    from squall import Queue

    return Queue.from_name(name, environment_name=control.environment(env))


def _class(word: str) -> Any:
    control.require_server()
    import squall

    return getattr(squall, word)


def _create(word: str, name: str, allow_existing: bool, env: str | None) -> None:
    of = _class(word).objects
    of.create(name, allow_existing=allow_existing, environment_name=control.environment(env))
    say(f"{word.lower()} {name} is there")


def _list(word: str, env: str | None, as_json: bool) -> None:
    found = _class(word).objects.list(environment_name=control.environment(env))
    infos = [(each, each.info()) for each in found]
    if as_json:
        plain = [
            {"name": each.name, "id": each.object_id, "created_unix_s": info.created_at.timestamp()}
            for each, info in infos
        ]
        print(json.dumps(plain, indent=2))
        return
    show(
        (
            [each.name, each.object_id, moment(at := info.created_at.timestamp()), ago(at)]
            for each, info in infos
        ),
        ["name", "id", "created", "age"],
        empty=f"no {word.lower()}s",
    )


def _delete(word: str, name: str, yes: bool, allow_missing: bool, env: str | None) -> None:
    of = _class(word).objects
    sure(f"Remove {word.lower()} {name} and all it holds?", yes)
    of.delete(name, allow_missing=allow_missing, environment_name=control.environment(env))
    say(f"{word.lower()} {name} is gone")


def _first(values: Iterable[Any], count: int | None) -> list[Any]:
    return list(itertools.islice(values, count))


def _text(value: object, as_repr: bool) -> str:
    if as_repr:
        return repr(value)
    return value if isinstance(value, str) else _SHORT.repr(value)


def _show_json(value: Any) -> None:
    """JSON has no words for most Python values: those come as their repr."""
    print(json.dumps(value, indent=2, default=repr))


# --- dict --------------------------------------------------------------------------------------


@dicts.command("create")
def create_dict(name: Name, allow_existing: AllowExisting = False, env: Env = None) -> None:
    """Make a dict."""
    _create("Dict", name, allow_existing, env)


@dicts.command("list")
def list_dicts(env: Env = None, as_json: Json = False) -> None:
    """List dicts, newest first."""
    _list("Dict", env, as_json)


@dicts.command("get")
def get(
    name: Name,
    key: Annotated[str, typer.Argument(metavar="KEY", help="A key that is a str.")],
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Print the value of a key."""
    try:
        value = _dict(name, env)[key]
    except KeyError:
        raise InvalidError(f"dict {name} has no key {key!r}: see `squall dict items`") from None
    if as_json:
        _show_json(value)
    else:
        print(value)


@dicts.command("items")
def items(  # noqa: PLR0917 - typer makes options of them
    name: Name,
    count: Annotated[int, typer.Argument(metavar="[N]", min=1, help="How many to show.")] = SHOWN,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Show them all.")] = False,
    as_repr: Annotated[bool, typer.Option("--repr", "-r", help="Show the repr, in full.")] = False,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Print keys and values, in no order."""
    found = _first(_dict(name, env).items(), None if all_ else count)
    if as_json:
        _show_json([{"key": key, "value": value} for key, value in found])
        return
    show(
        ([_text(key, as_repr), _text(value, as_repr)] for key, value in found),
        ["name", "value"],
        empty=f"dict {name} is empty",
    )


@dicts.command("clear")
def clear_dict(name: Name, yes: Yes = False, env: Env = None) -> None:
    """Remove all entries."""
    sure(f"Remove all entries of dict {name}?", yes)
    _dict(name, env).clear()
    say(f"dict {name} is empty")


@dicts.command("delete")
def delete_dict(
    name: Name, yes: Yes = False, allow_missing: AllowMissing = False, env: Env = None
) -> None:
    """Remove a dict and all it holds."""
    _delete("Dict", name, yes, allow_missing, env)


# --- queue -------------------------------------------------------------------------------------


@queues.command("create")
def create_queue(name: Name, allow_existing: AllowExisting = False, env: Env = None) -> None:
    """Make a queue."""
    _create("Queue", name, allow_existing, env)


@queues.command("list")
def list_queues(env: Env = None, as_json: Json = False) -> None:
    """List queues, newest first."""
    _list("Queue", env, as_json)


@queues.command("peek")
def peek(
    name: Name,
    count: Annotated[int, typer.Argument(metavar="[N]", min=1, help="How many to show.")] = 1,
    partition: Partition = None,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Print the next items, and leave them where they are."""
    found = _first(_queue(name, env).iterate(partition=partition), count)
    if as_json:
        _show_json(found)
        return
    for value in found:
        print(value)
    if not found:
        say(f"queue {name} is empty")


@queues.command("len")
def length(
    name: Name,
    partition: Partition = None,
    total: Annotated[bool, typer.Option("--total", "-t", help="Of all partitions.")] = False,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Print how many items wait."""
    found = _queue(name, env).len(partition=partition, total=total)
    print(json.dumps({"len": found}) if as_json else found)


@queues.command("clear")
def clear_queue(
    name: Name,
    partition: Partition = None,
    all_: Annotated[bool, typer.Option("--all", "-a", help="All partitions.")] = False,
    yes: Yes = False,
    env: Env = None,
) -> None:
    """Remove the items of a partition, or of all."""
    sure(f"Remove the items of queue {name}?", yes)
    _queue(name, env).clear(partition=partition, all=all_)
    say(f"queue {name} is empty")


@queues.command("delete")
def delete_queue(
    name: Name, yes: Yes = False, allow_missing: AllowMissing = False, env: Env = None
) -> None:
    """Remove a queue and all it holds."""
    _delete("Queue", name, yes, allow_missing, env)
