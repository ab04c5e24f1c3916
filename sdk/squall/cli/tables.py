"""Lists for people (a table) and for scripts (`--json`), on stdout."""

import datetime
import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Env = Annotated[
    str | None, typer.Option("--env", "-e", help="Environment; default: the configured one.")
]

WIDTH_OF_A_FILE = 160
MAY_WRAP = {"name", "app", "function", "functions", "remark", "found", "remedy", "value", "server"}


def show(rows: Iterable[Sequence[str]], columns: Sequence[str], *, empty: str) -> None:
    """A table of `rows`, or the line `empty`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in MAY_WRAP)
    for row in rows:
        table.add_row(*row)
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE).print(table)
    else:
        print(empty)


def show_json(value: Any) -> None:
    """`value`, messages included, as indented JSON; fields that have their default too."""
    print(json.dumps(_plain(value), indent=2))


def fields_of(message: msgspec.Struct) -> list[str]:
    """The names of its fields but for the contract's number, which means nothing to people."""
    return [name for name in message.__struct_fields__ if name != "contract"]


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in fields_of(value)}
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return msgspec.to_builtins(value)


def moment(unix_s: float | None) -> str:
    """Local date and time; empty for None."""
    if unix_s is None:
        return ""
    return datetime.datetime.fromtimestamp(unix_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(unix_s: float | None) -> str:
    """`5 min` since then; empty for None."""
    if unix_s is None:
        return ""
    seconds = max(0.0, time.time() - unix_s)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count_bytes: float) -> str:
    """`1.5 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} TB"
