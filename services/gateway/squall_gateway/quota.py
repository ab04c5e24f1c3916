"""`python -m squall_gateway.quota`: the operator's way to give a workspace a weight and a quota.

Whoever holds the gateway's keys may; nobody else can write the bucket `workspaces`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from squall_bus.access.accounts import owner_of
from squall_bus.access.keyring import Keyring
from squall_bus.connection import connect
from squall_bus.errors import BusError
from squall_contracts import subjects
from squall_contracts.identity import WorkspaceRecord


def main(argv: Sequence[str] | None = None) -> int:
    """Change what the options name, print what holds then. 1: it could not be; 2: usage."""
    options = _parser().parse_args(argv)
    try:
        record = asyncio.run(_change(options))
    except (BusError, LookupError, msgspec.ValidationError, OSError) as error:
        print(f"squall_gateway.quota: {error}", file=sys.stderr)  # noqa: T201
        return 1
    shown = {"workspace": record.name, "weight": record.weight, "quota": record.quota}
    print(msgspec.json.encode(shown).decode())  # noqa: T201
    return 0


def changed(record: WorkspaceRecord, options: argparse.Namespace) -> WorkspaceRecord:
    """`record` as the options say; what they leave out stays. ValidationError names a bad value."""
    quota: dict[str, Any] = {} if options.none else msgspec.to_builtins(record.quota)
    for field in ("containers", "cpu", "memory_mib"):
        if (given := getattr(options, field)) is not None:
            quota[field] = given
    quota["gpus"] = {**quota.get("gpus", {}), **dict(options.gpu)}
    weight = record.weight if options.weight is None else options.weight
    fields = {**msgspec.to_builtins(record), "quota": quota, "weight": weight}
    return msgspec.convert(fields, WorkspaceRecord)


async def _change(options: argparse.Namespace) -> WorkspaceRecord:
    keyring = Keyring(Path(options.keys))
    account = keyring.workspaces().get(options.workspace)
    if account is None:
        known = ", ".join(sorted(keyring.workspaces())) or "none"
        raise LookupError(f"there is no workspace {options.workspace!r}: there is {known}")
    credentials = keyring.service("gateway")
    inbox = subjects.inbox(owner_of(credentials.jwt))
    bus = await connect([options.server], credentials, name="squall quota", inbox=inbox)
    async with bus:
        bucket = bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord)
        entry = await bucket.get(account)
        if entry is None:
            raise LookupError(
                f"workspace {options.workspace!r} was not opened yet: start a gateway"
            )
        record = changed(entry.value, options)
        if record != entry.value:
            await bucket.update(account, record, entry.revision)
        return record


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="squall_gateway.quota", description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("--keys", required=True, help="the gateway's key directory")
    parser.add_argument("--server", required=True, help="URL of NATS")
    parser.add_argument(
        "--weight", type=float, help="its part beside others' when there is too little"
    )
    parser.add_argument("--containers", type=int, help="the most containers at a time")
    parser.add_argument("--cpu", type=float, help="the most cores they may reserve")
    parser.add_argument("--memory-mib", type=int, help="the most MiB they may reserve")
    parser.add_argument(
        "--gpu", type=_gpu, action="append", default=[], metavar="TYPE=N", help="the most of a type"
    )
    parser.add_argument("--none", action="store_true", help="first drop the quota there is")
    return parser


def _gpu(text: str) -> tuple[str, int]:
    kind, _, count = text.partition("=")
    if not kind or not count.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPE=N, such as H100=2")
    return kind.upper(), int(count)


if __name__ == "__main__":
    raise SystemExit(main())
