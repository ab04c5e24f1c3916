"""`python -m squall_gateway.prepare DIR`: what a fleet starts from, made once.

Writes the keys, nats-server's configuration, a creds file for each service and one for the users of
each workspace. Running it again adds what is missing and changes no key.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from squall_bus.accounts import InvalidCredentials, write_credentials, write_private
from squall_bus.keyring import Keyring
from squall_bus.resolver import server_config
from squall_contracts import rights


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 2: the directory or a name is no good, which one line says."""
    parser = argparse.ArgumentParser(prog="squall_gateway.prepare", description=__doc__)
    parser.add_argument("folder", type=Path, help="made if need be, readable by its owner alone")
    parser.add_argument("--listen", default="0.0.0.0:4222", help="host:port of nats-server")
    parser.add_argument("--data", type=Path, default=Path("/data"), help="nats-server's own store")
    parser.add_argument("--workspace", action="append", help="name; may be repeated; default: main")
    options = parser.parse_args(argv)
    try:
        prepare(options.folder, options.listen, options.data, options.workspace or ["main"])
    except (OSError, ValueError, InvalidCredentials) as error:
        print(f"squall_gateway.prepare: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


def prepare(folder: Path, listen: str, data: Path, workspaces: Sequence[str]) -> None:
    """Make `folder` complete. ValueError: a bad workspace name; OSError, InvalidCredentials."""
    keyring = Keyring(folder / "keys")
    for name in workspaces:
        keyring.workspace(name)
    config = server_config(
        name="squall",
        listen=listen,
        operator=keyring.operator_jwt(),
        system_account=keyring.system.public,
        accounts=keyring.preloaded_jwts(),
        lobby_user=keyring.lobby_user(),
        jetstream_dir=data / "jetstream",
        accounts_dir=data / "accounts",
    )
    write_private(folder / "nats.conf", config)
    for service in rights.SERVICES:
        path = folder / f"{service}.creds"
        if not path.exists():
            write_credentials(path, keyring.service(service))
    for name in workspaces:
        path = folder / f"workspace-{name}.creds"
        if not path.exists():
            write_credentials(path, keyring.client(name))


if __name__ == "__main__":
    raise SystemExit(main())
