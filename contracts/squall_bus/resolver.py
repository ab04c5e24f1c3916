"""nats-server in operator mode: its configuration, and telling it of accounts while it runs."""

from pathlib import Path

import msgspec

from squall_bus.accounts import MAX_PAYLOAD_BYTES


def server_config(
    *,
    name: str,
    listen: str,
    operator: str,
    system_account: str,
    accounts: dict[str, str],
    jetstream_dir: Path,
    accounts_dir: Path,
) -> str:
    """nats-server configuration in operator mode with a full resolver.

    `operator` is the operator's JWT; `accounts` maps the accounts the server must know before
    anybody can push claims (SYS, PLATFORM) to their JWTs; `listen` is `host:port`, port -1: any.
    """
    preload = "\n".join(f"  {account}: {jwt}" for account, jwt in accounts.items())
    quoted = msgspec.json.encode
    return f"""server_name: {name}
listen: "{listen}"
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
max_payload: {MAX_PAYLOAD_BYTES}
max_pending: 256MB
write_deadline: "20s"
jetstream {{
  store_dir: {quoted(str(jetstream_dir)).decode()}
  max_mem: 1GB
  max_file: 100TB
  limits {{ default_max_consumers: -1 }}
}}
"""
