"""`python -m squall_server.backup TARGET`: everything a server keeps, while it runs.

Streams are taken one after another: what the registry names is in the objects taken after it, and
an input whose result is not in the backup yet is in it as an input, and runs again.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from squall_bus.access.accounts import owner_of
from squall_bus.access.keyring import Keyring
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusError
from squall_bus.streams.snapshots import Snapshot
from squall_contracts import subjects, version_subjects

from squall_server.archive import KEYS, ArchiveError, Manifest, StreamEntry, Writer
from squall_server.state import Announcement, default_state_dir

OF_MACHINES: Final = frozenset(
    {
        subjects.COMMANDS,
        subjects.EVENTS,
        *(
            f"KV_{bucket}"
            for bucket in (
                subjects.RUNNERS_BUCKET,
                subjects.LEASES_BUCKET,
                subjects.CONTAINERS_BUCKET,
                subjects.TARGETS_BUCKET,
                subjects.DEATHS_BUCKET,
                version_subjects.FAULTS_BUCKET,
            )
        ),
    }
)
"""Left out: what machines do at the moment means nothing to those that come after."""


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: it could not be, which one line says; 2: usage."""
    options = _parser().parse_args(argv)
    try:
        keys, server = _source(options)
        asyncio.run(backup(options.target.absolute(), keys, server))
    except (ArchiveError, BusError, OSError, LookupError) as error:
        print(f"squall backup: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def backup(target: Path, keys: Path, server: str) -> Manifest:
    """Write a backup to `target`; nothing is left of one that fails. ArchiveError, BusError."""
    keyring, writer = Keyring(keys), Writer(target)
    try:
        streams: list[StreamEntry] = []
        writer.copy(keys, KEYS)
        accounts = keyring.workspaces()
        for name, account in (("platform", keyring.platform.public), *accounts.items()):
            async with await connected(keyring, account, server) as bus:
                streams += await _account(bus, name, account, writer)
        manifest = Manifest(
            version=version("squall"),
            created_unix_s=time.time(),
            accounts=accounts,
            streams=tuple(streams),
            files=writer.files,
        )
        await asyncio.to_thread(writer.finish, manifest)
    except BaseException:
        writer.discard()
        raise
    total = sum(entry.size_bytes for entry in writer.files.values())
    tell(f"{len(streams)} streams and the keys, {size(total)}, in {target}", last=True)
    return manifest


async def connected(keyring: Keyring, account: str, server: str) -> Bus:
    """A connection that may do everything in an account."""
    credentials = keyring.administrator(account)
    inbox = subjects.inbox(owner_of(credentials.jwt))
    return await connect([server], credentials, name="squall backup", inbox=inbox)


async def _account(bus: Bus, name: str, account: str, writer: Writer) -> list[StreamEntry]:
    found = [each for each in await bus.admin.streams() if each not in OF_MACHINES]
    taken = []
    for number, stream in enumerate(sorted(found, key=_order), 1):
        async with Snapshot(bus, stream) as snapshot:
            entry = StreamEntry(account=account, stream=stream, description=snapshot.description)
            with writer.file(entry.path) as out:
                async for chunk in snapshot.chunks():
                    out.write(chunk)
                    tell(f"{name} {number}/{len(found)} {stream} {size(out.size_bytes)}")
        taken.append(entry)
    return taken


def _order(stream: str) -> tuple[int, str]:
    """Inputs before results, and what names objects before the objects."""
    return (0 if stream == subjects.CALLS else 2 if stream.startswith("OBJ_") else 1, stream)


def size(count_bytes: int) -> str:
    """`12.3 MB`, or `45 kB`."""
    return f"{count_bytes / 1e6:.1f} MB" if count_bytes >= 1e6 else f"{count_bytes // 1000} kB"


def tell(text: str, *, last: bool = False) -> None:
    """Progress on a terminal, which the next line replaces; the last word anywhere."""
    if sys.stderr.isatty():
        end = "\n" if last else ""
        print(f"\r\033[K{text}", end=end, file=sys.stderr, flush=True)  # noqa: T201
    elif last:
        print(text, file=sys.stderr)  # noqa: T201


def _source(options: argparse.Namespace) -> tuple[Path, str]:
    """Key directory and URL: as named, or those of the server that runs on this machine."""
    if options.keys is not None and options.server is not None:
        return options.keys, options.server
    state: Path = options.state or default_state_dir()
    try:
        said = msgspec.json.decode((state / "server.json").read_bytes(), type=Announcement)
    except FileNotFoundError as error:
        raise LookupError(
            f"no server runs with the state {state}: start it with `squall up`, or name --keys "
            "and --server"
        ) from error
    return state / "keys", said.url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="squall admin backup", description=__doc__)
    parser.add_argument("target", type=Path, help="a directory, or a .tar file, to be made")
    parser.add_argument("--state", type=Path, help="state directory of the server on this machine")
    parser.add_argument("--keys", type=Path, help="the gateway's key directory, with --server")
    parser.add_argument("--server", help="URL of NATS, with --keys")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
