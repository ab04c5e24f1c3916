"""nats-server in operator mode: its configuration, and telling it of accounts while it runs."""

import time
from pathlib import Path
from typing import Final

import msgspec

from squall_bus.access.accounts import MAX_PAYLOAD_BYTES, Key, verify_jwt
from squall_bus.bus import Bus
from squall_bus.errors import BusRefused

MAX_CONTROL_LINE_BYTES: Final = 32 * 1024
"""A user's JWT, which lists all it may touch, is in the first line it sends: 4 KB by default."""
SIGN_IN_S: Final = 10
"""Who connects may take so long to say who they are: 2 s, the default, is little for a busy machine."""
_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"


class _Verdict(msgspec.Struct, frozen=True):
    code: int
    message: str = ""
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    data: _Verdict | None = None
    error: _Verdict | None = None


async def push_account(system: Bus, jwt: str, operator: Key) -> None:
    """Tell the running server of an account; `system` is a connection in SYS.

    The server answers 200 even to a JWT it then ignores, and overwrites its file with it, so the
    signature is checked here first. BusRefused says why the server would not have it.
    """
    claims = verify_jwt(jwt, operator, now_unix_s=time.time())
    reply = await system.call(_UPDATE, jwt.encode())
    answer = msgspec.json.decode(reply.data, type=_Answer)
    if answer.error is not None or answer.data is None or answer.data.code != 200:
        verdict = answer.error or answer.data or _Verdict(0, "no verdict")
        reason = verdict.description or verdict.message
        raise BusRefused(f"the server refused account {claims.sub}: {reason}")


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """How a server finds the others of its cluster; hosts as they reach one another."""

    listen: str
    """host:port for the others."""
    routes: tuple[str, ...]
    """host:port of all of them; its own is harmless."""
    password: str
    """Shared by them: whoever has it may join, and sees everything."""


class Tls(msgspec.Struct, frozen=True, kw_only=True):
    """A server's certificate, with those above it, and its key: paths as nats-server sees them."""

    certificate: str
    key: str


def server_config(
    *,
    name: str,
    listen: str,
    operator: str,
    system_account: str,
    accounts: dict[str, str],
    jetstream_dir: Path,
    accounts_dir: Path,
    lobby_user: str = "",
    cluster: Cluster | None = None,
    tls: Tls | None = None,
    websocket: str = "",
) -> str:
    """nats-server configuration in operator mode with a full resolver.

    `operator` is the operator's JWT; `accounts` maps the accounts the server must know before
    anybody can push claims (SYS, PLATFORM, LOBBY) to their JWTs; `listen` is `host:port`, port -1:
    any. `lobby_user` is the JWT of those who connect without one; empty: they are turned away.
    `cluster` None: the server stands alone; otherwise `name` must be its own alone. With `tls` it
    takes no connection without. `websocket` is a second `host:port`, for WebSockets; empty: none.
    """
    preload = "\n".join(f"  {account}: {jwt}" for account, jwt in accounts.items())
    quoted = msgspec.json.encode
    lobby = f"default_sentinel: {lobby_user}\n" if lobby_user else ""
    secured = "" if tls is None else f"{_tls_config(tls)}\n"
    sockets = _websocket_config(websocket, tls) if websocket else ""
    joined = "" if cluster is None else _cluster_config(cluster)
    return f"""server_name: {name}
{joined}listen: "{listen}"
operator: {operator}
system_account: {system_account}
resolver: {{
  type: full
  dir: {quoted(str(accounts_dir)).decode()}
  allow_delete: true
  interval: "2m"
  limit: 100000
}}
resolver_preload: {{
{preload}
}}
authorization {{ timeout: {SIGN_IN_S} }}
{secured}{sockets}{lobby}max_payload: {MAX_PAYLOAD_BYTES}
max_control_line: {MAX_CONTROL_LINE_BYTES}
max_pending: 256MB
write_deadline: "20s"
jetstream {{
  store_dir: {quoted(str(jetstream_dir)).decode()}
  max_mem: 1GB
  max_file: 100TB
  limits {{ default_max_consumers: -1 }}
}}
"""


def _cluster_config(cluster: Cluster) -> str:
    # Clients are told of all servers by name; addresses the servers see may mean nothing to them.
    routes = ", ".join(
        f'"nats-route://squall:{cluster.password}@{host}"' for host in cluster.routes
    )
    return f"""cluster {{
  name: squall
  listen: "{cluster.listen}"
  no_advertise: true
  authorization {{ user: squall, password: "{cluster.password}", timeout: {SIGN_IN_S} }}
  routes: [{routes}]
}}
"""


def _tls_config(tls: Tls) -> str:
    quoted = msgspec.json.encode
    certificate, key = quoted(tls.certificate).decode(), quoted(tls.key).decode()
    files = f"cert_file: {certificate}, key_file: {key}"
    return f'tls {{ {files}, min_version: "1.2", timeout: {SIGN_IN_S} }}'


def _websocket_config(listen: str, tls: Tls | None) -> str:
    secured = "no_tls: true" if tls is None else _tls_config(tls)
    return f'websocket {{ listen: "{listen}", {secured} }}\n'
