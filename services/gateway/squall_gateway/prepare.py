"""`python -m squall_gateway.prepare DIR`: what a fleet starts from, made once.

Writes the keys, nats-server's configuration, a creds file for each service and one for the users of
each workspace. Running it again adds what is missing and changes no key. With `--node` once for each
server of a cluster there is a configuration for each, `nats-1.conf` and so on.
"""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from squall_bus.access.accounts import InvalidCredentials, write_credentials, write_private
from squall_bus.access.keyring import Keyring, make_once
from squall_bus.access.resolver import Cluster, Tls, server_config
from squall_contracts import rights


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 2: the directory or a name is no good, which one line says."""
    parser = argparse.ArgumentParser(prog="squall_gateway.prepare", description=__doc__)
    parser.add_argument(
        "folder", type=Path, help="made if need be; only its owner can read the files"
    )
    parser.add_argument("--listen", default="0.0.0.0:4222", help="host:port of nats-server")
    parser.add_argument("--data", type=Path, default=Path("/data"), help="nats-server's own store")
    parser.add_argument("--workspace", action="append", help="name; may be repeated; default: main")
    parser.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="of a server of a cluster, as the others reach it, such as nats1:6222; repeat it",
    )
    parser.add_argument("--tls-cert", help="of nats-server, as it sees the file; with --tls-key")
    parser.add_argument("--tls-key", help="the key of --tls-cert")
    parser.add_argument(
        "--websocket", default="", metavar="HOST:PORT", help="take WebSockets there, too"
    )
    options = parser.parse_args(argv)
    if bool(options.tls_cert) != bool(options.tls_key):
        parser.error("--tls-cert and --tls-key go together")
    tls = Tls(certificate=options.tls_cert, key=options.tls_key) if options.tls_cert else None
    try:
        prepare(
            options.folder,
            options.data,
            options.workspace or ["main"],
            options.node,
            Listen(address=options.listen, tls=tls, websocket=options.websocket),
        )
    except (OSError, ValueError, InvalidCredentials) as error:
        print(f"squall_gateway.prepare: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


class Listen(msgspec.Struct, frozen=True, kw_only=True):
    """Where nats-server takes clients, and how."""

    address: str = "0.0.0.0:4222"
    tls: Tls | None = None
    websocket: str = ""


def prepare(
    folder: Path,
    data: Path,
    workspaces: Sequence[str],
    nodes: Sequence[str] = (),
    listen: Listen | None = None,
) -> None:
    """Make `folder` complete. ValueError: a bad workspace name; OSError, InvalidCredentials."""
    keyring = Keyring(folder / "keys")
    for name in workspaces:
        keyring.workspace(name)
    for name, cluster in _servers(folder, nodes):
        at = listen or Listen()
        write_private(folder / f"{name}.conf", _config(keyring, name, at, data, cluster))
    for service in rights.SERVICES:
        path = folder / f"{service}.creds"
        if not path.exists():
            write_credentials(path, keyring.service(service))
    for name in workspaces:
        path = folder / f"workspace-{name}.creds"
        if not path.exists():
            write_credentials(path, keyring.client(name))


def _servers(folder: Path, nodes: Sequence[str]) -> list[tuple[str, Cluster | None]]:
    """The name of each server, and how it finds the others."""
    if not nodes:
        return [("nats", None)]
    for node in nodes:
        host, _, port = node.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"--node {node}: HOST:PORT expected, such as nats1:6222")
    secret = folder / "keys" / "cluster.secret"
    if not secret.exists():
        make_once(secret, lambda: secrets.token_hex(24))
    return [
        (
            f"nats-{number}",
            Cluster(
                listen=f"0.0.0.0:{node.rpartition(':')[2]}",
                routes=tuple(nodes),
                password=secret.read_text().strip(),
            ),
        )
        for number, node in enumerate(nodes, 1)
    ]


def _config(
    keyring: Keyring, name: str, listen: Listen, data: Path, cluster: Cluster | None
) -> str:
    return server_config(
        name=name,
        listen=listen.address,
        tls=listen.tls,
        websocket=listen.websocket,
        operator=keyring.operator_jwt(),
        system_account=keyring.system.public,
        accounts=keyring.preloaded_jwts(),
        lobby_user=keyring.lobby_user(),
        jetstream_dir=data / "jetstream",
        accounts_dir=data / "accounts",
        cluster=cluster,
    )


if __name__ == "__main__":
    raise SystemExit(main())
