"""`python -m squall_runner.join`: this machine becomes a runner of a fleet, by a token of scope `runner`.

The token is good for one machine: the gateway binds it to the runner's id and to a key made here. So the
same command starts the runner again, and nobody else can with that token.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from squall_bus import service
from squall_bus.access.accounts import Key, new_key, write_credentials
from squall_bus.access.keyring import make_once
from squall_bus.access.signing_in import credentials_for
from squall_bus.errors import BusError
from squall_bus.settings import SettingsError, read_settings

from squall_runner import machine
from squall_runner.app import SERVICE
from squall_runner.runtime import RunnerError
from squall_runner.settings import Settings

TOKEN_VARIABLE: Final = "SQUALL_JOIN_TOKEN"


def main(argv: Sequence[str] | None = None) -> int:
    """Sign in, then run until told to stop. 0: stopped as told; 1: failed; 2: can't join, which one
    line says."""
    parser = argparse.ArgumentParser(prog="squall runner join", description=__doc__)
    parser.add_argument("--server", default=os.environ.get("SQUALL_NATS_URLS", ""))
    parser.add_argument("--token", default=os.environ.get(TOKEN_VARIABLE, ""))
    options = parser.parse_args(argv)
    servers = [url.strip() for url in options.server.split(",") if url.strip()]
    if not servers or not options.token:
        wanting = "--server or SQUALL_NATS_URLS" if not servers else f"--token or {TOKEN_VARIABLE}"
        print(f"squall runner join: {wanting} is required", file=sys.stderr)  # noqa: T201
        return 2
    try:
        settings = read_settings(Settings, os.environ, "SQUALL_RUNNER_")
        credentials = _signed_in(Path(settings.state_dir), servers, options.token)
    except (BusError, SettingsError, RunnerError, OSError) as error:
        print(f"squall runner join: {error}", file=sys.stderr)  # noqa: T201
        return 2
    os.environ["SQUALL_NATS_URLS"] = ",".join(servers)
    os.environ["SQUALL_CREDENTIALS"] = str(credentials)
    return service.main(SERVICE)


def _signed_in(state: Path, servers: Sequence[str], token: str) -> Path:
    """The path of fresh credentials of the runner whose state this is."""
    with machine.lock(state):
        identity = machine.runner_id(state)
        seed = state / "join.seed"
        if not seed.exists():
            make_once(seed, lambda: new_key("user").seed)
        key = Key(seed.read_text().strip())
        credentials, _ = asyncio.run(credentials_for(servers, token, key, identity))
        path = state / "credentials"
        write_credentials(path, credentials)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
