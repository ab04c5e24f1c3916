"""The bytes messages are made of, kept: `golden_bytes/` has what each looked like whenever it
changed.

    python -m tests.contracts.golden

adds today's bytes of what is new or has changed; what is there is never rewritten. Every entry must
be readable for ever: a change that breaks one needs another contract (docs/compatibility.md).
"""

import importlib
import inspect
import json
import pkgutil
import types
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeGuard,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
import squall_contracts
from squall_contracts.message import Message, encode

PLACE: Final = Path(__file__).with_name("golden_bytes")
DEEP: Final = 6


def all_messages() -> dict[str, type[msgspec.Struct]]:
    """`module.Name` of every message there is."""
    found: dict[str, type[msgspec.Struct]] = {}
    for module in pkgutil.iter_modules(squall_contracts.__path__):
        names = vars(importlib.import_module(f"squall_contracts.{module.name}"))
        for kind in names.values():
            if inspect.isclass(kind) and _crosses_the_bus(kind):
                found[f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"] = kind
    return dict(sorted(found.items()))


def _crosses_the_bus(kind: type) -> TypeGuard[type[msgspec.Struct]]:
    if not issubclass(kind, msgspec.Struct) or kind is Message:
        return False
    return issubclass(kind, Message) or bool(kind.__struct_config__.array_like)


def example(kind: Any, name: str = "", depth: int = 0) -> Any:
    """A value of a type with every field filled, always the same one."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _within(arguments[0], arguments[1:], name, depth)
    if origin in {Union, types.UnionType}:
        choices = [each for each in arguments if each is not types.NoneType]
        return example(choices[0], name, depth)
    if origin is not None:
        return _of_parts(origin, arguments, name, depth)
    if inspect.isclass(kind) and issubclass(kind, msgspec.Struct):
        return _filled(kind, depth)
    return _plain(kind, name)


def _of_parts(origin: Any, arguments: tuple[Any, ...], name: str, depth: int) -> Any:
    if origin is Literal:
        return arguments[-1]
    if origin is dict:
        return {example(arguments[0], name, depth): example(arguments[1], name, depth)}
    members = [each for each in arguments if each is not Ellipsis]
    return origin(example(each, name, depth) for each in members)


def _plain(kind: Any, name: str) -> Any:
    values: dict[Any, Any] = {
        bool: True,
        int: 7,
        float: 2.5,
        str: name or "text",
        bytes: b"\x00\xff",
        Any: "anything",
        types.NoneType: None,
    }
    return values[kind]


def _within(kind: Any, constraints: tuple[Any, ...], name: str, depth: int) -> Any:
    """A value that keeps to what the field's type says of it."""
    value = example(kind, name, depth)
    for meta in constraints:
        if not isinstance(meta, msgspec.Meta):
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            if meta.le is not None:
                value = min(value, type(value)(meta.le))
            if meta.ge is not None:
                value = max(value, type(value)(meta.ge))
        if isinstance(value, str | bytes):
            value = (value * max(1, meta.min_length or 0))[: meta.max_length]
    return value


def _filled(kind: type[msgspec.Struct], depth: int) -> msgspec.Struct:
    hints = get_type_hints(kind, include_extras=True)
    chosen: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name == "contract" or (depth >= DEEP and not field.required):
            continue
        chosen[field.name] = example(hints[field.name], field.name, depth + 1)
    return kind(**chosen)


def load() -> dict[str, list[str]]:
    """Hex of the bytes of every message, oldest first, by its name."""
    known: dict[str, list[str]] = {}
    for path in sorted(PLACE.glob("*.json")):
        own: dict[str, list[str]] = json.loads(path.read_text())
        known.update({f"{path.stem}.{name}": bytes_ for name, bytes_ in own.items()})
    return known


def today(kind: type[msgspec.Struct]) -> str:
    return encode(example(kind)).hex()


def main() -> None:
    known = load()
    for name, kind in all_messages().items():
        if today(kind) not in known.setdefault(name, []):
            known[name].append(today(kind))
            print(f"added {name}")
    modules: dict[str, dict[str, list[str]]] = {}
    for name, kept in sorted(known.items()):
        module, _, message = name.partition(".")
        modules.setdefault(module, {})[message] = kept
    for module, messages in modules.items():
        (PLACE / f"{module}.json").write_text(json.dumps(messages, indent=1) + "\n")


if __name__ == "__main__":
    main()
