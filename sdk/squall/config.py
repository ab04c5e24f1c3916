"""Settings: `~/.squall.toml` profiles, overridden by `SQUALL_*`, and how a server is found.

A profile is a table of the file; the one with `active = true` holds, or `SQUALL_PROFILE` names it.
Keys: `server_url`, `token_id` and `token_secret` (or `credentials`, the path of a NATS credentials
file), `ca_file` (who signs the server's certificate) and `environment`. A file with a secret in it
must be readable by its owner alone.
"""

import itertools
import json
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squall_contracts.guest import Credentials

from squall.exception import AuthError, InvalidError, NotFoundError

DEFAULT_ENVIRONMENT = "main"
KEYS = ("server_url", "ca_file", "token_id", "token_secret", "credentials", "environment")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where a server listens and what opens it."""

    url: str
    credentials: str = ""
    """Path of the NATS credentials file; empty: the token opens it."""
    token: str = field(default="", repr=False)
    """`<id>.<secret>`; empty: none."""
    ca_file: str = ""
    """Certificates of the authorities a `tls://` or `wss://` server is trusted by; empty: the
    system's."""
    runtime: str = ""
    source: str = ""
    """Where this was learnt, for people: a file, or the environment."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds now, from environment and profile; None where neither says."""

    server_url: str | None
    credentials: str | None
    ca_file: str | None
    token_id: str | None
    token_secret: str | None = field(repr=False)
    environment: str
    profile: str | None
    config_path: Path
    state_dir: Path


class _Chosen:
    """What `use_server` said."""

    server: Server | None = None


def config_path() -> Path:
    return Path(os.environ.get("SQUALL_CONFIG_PATH") or Path.home() / ".squall.toml").expanduser()


def state_dir() -> Path:
    """Where a server on this machine keeps its state and announces itself."""
    if own := os.environ.get("SQUALL_STATE_DIR"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "squall"


def load_profiles() -> dict[str, dict[str, Any]]:
    """All profiles by name; {} without a file. InvalidError names the file and the fault."""
    path = config_path()
    try:
        tables = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidError(f"{path}: {error}: mend or remove the file") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InvalidError(f"{path}: {name!r} must be a table, as in [{name}]")
        unknown = set(table) - {*KEYS, "active"}
        if unknown:
            raise InvalidError(
                f"{path}: [{name}] has an unknown key {min(unknown)!r}: use {', '.join(KEYS)}"
            )
    if any("token_secret" in table for table in tables.values()):
        _check_private(path)
    return tables


def _check_private(path: Path) -> None:
    """InvalidError where others than the owner can read a file with a secret."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise InvalidError(f"{path} holds a token and others can read it: chmod 600 {path}")


def settings() -> Settings:
    """What holds now. InvalidError for a broken file; NotFoundError for a missing profile."""
    profiles = load_profiles()
    name = os.environ.get("SQUALL_PROFILE") or next(
        (each for each, table in profiles.items() if table.get("active")), None
    )
    if name is not None and name not in profiles:
        raise NotFoundError(f"SQUALL_PROFILE: no profile {name!r} in {config_path()}")
    profile = profiles[name] if name is not None else {}
    return Settings(
        server_url=os.environ.get("SQUALL_SERVER_URL") or profile.get("server_url"),
        credentials=os.environ.get("SQUALL_CREDENTIALS") or profile.get("credentials"),
        ca_file=os.environ.get("SQUALL_CA_FILE") or profile.get("ca_file"),
        token_id=os.environ.get("SQUALL_TOKEN_ID") or profile.get("token_id"),
        token_secret=os.environ.get("SQUALL_TOKEN_SECRET") or profile.get("token_secret"),
        environment=os.environ.get("SQUALL_ENVIRONMENT")
        or profile.get("environment")
        or DEFAULT_ENVIRONMENT,
        profile=name,
        config_path=config_path(),
        state_dir=state_dir(),
    )


def dev_suffix() -> str:
    """What addresses of apps that only run end in: SQUALL_DEV_SUFFIX, by default `dev`, so that
    several people can serve one app. InvalidError."""
    suffix = os.environ.get("SQUALL_DEV_SUFFIX") or "dev"
    if not re.fullmatch(r"[a-z0-9]{1,20}", suffix):
        raise InvalidError(f"SQUALL_DEV_SUFFIX: {suffix!r}: use 1 to 20 small letters and digits")
    return suffix


def save_profile(name: str, values: dict[str, str]) -> None:
    """Set keys of a profile, made if need be; the first one becomes the active one."""
    unknown = set(values) - set(KEYS)
    if unknown:
        raise InvalidError(f"unknown key {min(unknown)!r}: use {', '.join(KEYS)}")
    profiles = load_profiles()
    table = {**profiles.get(name, {}), **values}
    if not any(each.get("active") for each in profiles.values()):
        table["active"] = True
    _write({**profiles, name: table})


def activate_profile(name: str) -> None:
    """Make `name` the active profile. NotFoundError if there is none of that name."""
    profiles = load_profiles()
    if name not in profiles:
        raise NotFoundError(f"no profile {name!r} in {config_path()}")
    rest = {
        each: {key: value for key, value in table.items() if key != "active"}
        for each, table in profiles.items()
    }
    rest[name]["active"] = True
    _write(rest)


def _write(profiles: dict[str, dict[str, Any]]) -> None:
    parts = []
    for name, table in profiles.items():
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        parts.append("\n".join([f"[{json.dumps(name)}]", *lines]))
    path = config_path()
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write("\n\n".join(parts) + "\n")
    fresh.replace(path)


def use_server(server: Server | None) -> None:
    """Make this process use `server`, whatever environment and profile say; None: as they say."""
    _Chosen.server = server


def find_server() -> Server | None:
    """The server this process should use; None if none is configured and none runs here.

    InvalidError if a URL is set with nothing that opens it.
    """
    if _Chosen.server is not None:
        return _Chosen.server
    now = settings()
    if now.server_url is not None:
        source = "environment" if os.environ.get("SQUALL_SERVER_URL") else str(now.config_path)
        if now.token_id is not None and now.token_secret is not None:
            token = f"{now.token_id}.{now.token_secret}"
            return Server(url=now.server_url, token=token, ca_file=now.ca_file or "", source=source)
        if now.credentials is None:
            raise InvalidError(
                f"{now.server_url} is set without a token: use `squall token set`, or set "
                "SQUALL_TOKEN_ID and SQUALL_TOKEN_SECRET (or SQUALL_CREDENTIALS, a file's path)"
            )
        return Server(
            url=now.server_url,
            credentials=now.credentials,
            ca_file=now.ca_file or "",
            source=source,
        )
    return running_server(now.state_dir)


def running_server(directory: Path) -> Server | None:
    """The server that announced itself in `directory`; None if there is none or it has died."""
    path = directory / "server.json"
    try:
        said = json.loads(path.read_text())
        pid = int(said["pid"])
        server = Server(
            url=said["url"],
            credentials=said["credentials"],
            runtime=said.get("runtime", ""),
            source=str(path),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidError(f"{path} is damaged ({error}): remove it") from error
    return server if _alive(pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether it has ended and nobody collected it: in containers often nobody ever does."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False  # not Linux, or gone meanwhile
    return stat.rpartition(")")[2].split()[0] == "Z"


def read_credentials(path: str) -> Credentials:
    """A NATS credentials file. AuthError if it can't be read or isn't one."""
    place = Path(path).expanduser()
    try:
        lines = [line.strip() for line in place.read_text().splitlines()]
    except OSError as error:
        raise AuthError(f"credentials {place}: {error.strerror}: set SQUALL_CREDENTIALS") from error
    found: dict[str, str] = {}
    for head, line in itertools.pairwise(lines):
        if head.startswith("-----BEGIN NATS USER JWT"):
            found["jwt"] = line
        elif head.startswith("-----BEGIN USER NKEY SEED"):
            found["seed"] = line
    if len(found) != 2:
        raise AuthError(f"credentials {place}: not a NATS credentials file: set SQUALL_CREDENTIALS")
    return Credentials(jwt=found["jwt"], seed=found["seed"])
