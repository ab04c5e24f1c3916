"""Query strings and events, as browsers read them. Pure."""

import json
from collections.abc import Mapping
from urllib.parse import urlencode


def with_query(query: Mapping[str, str], **changed: object) -> str:
    """A query string with some of its parameters otherwise; empty ones are left out."""
    said = {**query, **{name: str(value) for name, value in changed.items()}}
    kept = {name: value for name, value in said.items() if value not in {"", "None"}}
    return f"?{urlencode(kept)}" if kept else "?"


def event(name: str, data: object, number: int | None = None) -> bytes:
    """One event of a stream of them, its data as JSON."""
    head = f"id: {number}\n" if number is not None else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
