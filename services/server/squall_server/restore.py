"""`python -m squall_server.restore BACKUP`: a backup into a server that has nothing yet.

Keys come first, so that accounts are who they were; then every stream; then images are asked for
anew, as those of another machine are not in a backup.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from squall_bus.access.accounts import write_private
from squall_bus.access.keyring import Keyring
from squall_bus.bus import Bus
from squall_bus.errors import BusError
from squall_bus.layout import ensure_platform
from squall_bus.streams.snapshots import restore as restore_stream
from squall_contracts import subjects
from squall_contracts.images import BuildImage, ImageRecord

from squall_server.archive import KEYS, ArchiveError, Manifest, opened, pieces
from squall_server.backup import connected, tell
from squall_server.natsd import Natsd, NatsFailedError
from squall_server.state import State, StateError, default_state_dir


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 1: it could not be, which one line says; 2: usage."""
    options = _parser().parse_args(argv)
    try:
        with opened(options.source.absolute()) as (folder, manifest):
            if options.server is not None:
                if options.keys is None:
                    raise ArchiveError(
                        "--server needs --keys, the key directory it was set up with"
                    )
                asyncio.run(_into(Keyring(options.keys), options.server, folder, manifest))
            else:
                asyncio.run(
                    _onto_machine(
                        (options.state or default_state_dir()).absolute(), folder, manifest
                    )
                )
    except (ArchiveError, BusError, NatsFailedError, StateError, OSError) as error:
        print(f"squall restore: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _onto_machine(state: Path, folder: Path, manifest: Manifest) -> None:
    """Into the state directory of a one-machine server that doesn't run; nothing of it stays when
    that fails."""
    with State(state, ephemeral=False) as own:
        if own.keys.exists() or own.nats.exists():
            raise ArchiveError(
                f"{state} holds a server already: name an empty directory with --state"
            )
        try:
            await asyncio.to_thread(_copy_keys, folder / KEYS, own.keys)
            keyring = Keyring(own.keys)
            async with _bare_server(own.nats, keyring) as url:
                await _into(keyring, url, folder, manifest)
        except BaseException:
            for made in (own.keys, own.nats):
                shutil.rmtree(made, ignore_errors=True)
            raise


@asynccontextmanager
async def _bare_server(store: Path, keyring: Keyring) -> AsyncIterator[str]:
    """A nats-server nobody else knows of."""
    natsd = Natsd(store, keyring, "127.0.0.1", 0)
    await natsd.start()
    watching = asyncio.create_task(natsd.watch())
    try:
        yield natsd.url
    finally:
        await natsd.stop()
        await watching


def _copy_keys(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            write_private(target / path.relative_to(source), path.read_text())


async def _into(keyring: Keyring, server: str, folder: Path, manifest: Manifest) -> None:
    for account in sorted({entry.account for entry in manifest.streams}):
        if keyring.account(account) is None:
            raise ArchiveError(
                f"the key directory has no key of account {account}: use the backup's"
            )
        entries = [entry for entry in manifest.streams if entry.account == account]
        async with await connected(keyring, account, server) as bus:
            present = set(await bus.admin.streams())
            for number, entry in enumerate(entries, 1):
                tell(f"{account[:8]} {number}/{len(entries)} {entry.stream}")
                if entry.stream in present:
                    raise ArchiveError(
                        f"{server} has a stream {entry.stream}: restore into an empty server"
                    )
                chunks = pieces(folder / entry.path)
                await restore_stream(bus, entry.stream, entry.description, chunks)
    async with await connected(keyring, keyring.platform.public, server) as bus:
        await ensure_platform(bus)
        images = await _ask_for_images(bus)
    names = ", ".join(sorted(manifest.accounts))
    tell(
        f"restored {len(manifest.streams)} streams of {names}; {images} images will be built anew",
        last=True,
    )


async def _ask_for_images(bus: Bus) -> int:
    """As a client asks for one nobody has built: a builder takes it up once it runs."""
    records = bus.kv(subjects.IMAGES_BUCKET, ImageRecord)
    known = await records.items()
    for key, record in known.items():
        await records.delete(key)
        await bus.store(
            subjects.build(record.image_id),
            BuildImage(workspace=record.workspace, image_id=record.image_id, recipe=record.recipe),
        )
    return len(known)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="squall admin restore", description=__doc__)
    parser.add_argument("source", type=Path, help="a directory or .tar file a backup made")
    parser.add_argument("--state", type=Path, help="state directory to fill; must be empty")
    parser.add_argument("--keys", type=Path, help="the backup's keys, in place, with --server")
    parser.add_argument("--server", help="URL of an empty nats-server no service uses yet")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
