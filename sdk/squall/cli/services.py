"""Single services in the foreground: `squall up SERVICE…` on a bare machine, in units and containers."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from squall.cli import servers
from squall.config import read_credentials
from squall.exception import InvalidError

GATEWAY: Final = "gateway"
SERVICES: Final = (GATEWAY, "builder", "scheduler", "autoscaler", "cron", "runner")


def run(names: list[str], nats_url: str | None, credentials: Path | None) -> int:
    """Run services until one ends or a signal comes; returns the worst status.

    `nats_url`: one or more URLs, separated by commas; None: SQUALL_NATS_URLS. `credentials`: a creds
    file, or a directory with `<service>.creds` for each; None: SQUALL_CREDENTIALS. InvalidError and
    AuthError name what is missing, before anything is started.
    """
    unknown = [name for name in names if name not in SERVICES or not find_spec(f"squall_{name}")]
    if unknown:
        raise InvalidError(f"no service {unknown[0]!r}: choose of {', '.join(SERVICES)}")
    environments = {name: _environment(name, nats_url, credentials) for name in names}
    if len(names) == 1:
        os.execve(sys.executable, _command(names[0]), environments[names[0]])
    return _together(environments)


def _command(name: str) -> list[str]:
    return [sys.executable, "-P", "-m", f"squall_{name}"]


def _environment(name: str, nats_url: str | None, credentials: Path | None) -> dict[str, str]:
    """What the process of one service is told."""
    found = dict(os.environ)
    if nats_url is not None:
        found["SQUALL_NATS_URLS"] = nats_url
    if not (found.get("SQUALL_NATS_URLS") or found.get("SQUALL_NATS_URL")):
        raise InvalidError(
            f"{name} needs a NATS to talk to: --nats-url or SQUALL_NATS_URLS, such as "
            "nats://10.0.0.1:4222,nats://10.0.0.2:4222 (`squall up` alone starts a whole server)"
        )
    given = credentials or (Path(text) if (text := found.get("SQUALL_CREDENTIALS")) else None)
    if given is None:
        raise InvalidError(
            f"{name} needs credentials: --credentials or SQUALL_CREDENTIALS, the path of "
            f"{name}.creds as `python -m squall_gateway.prepare DIR` writes it"
        )
    path = given / f"{name}.creds" if given.is_dir() else given
    read_credentials(str(path))
    found["SQUALL_CREDENTIALS"] = str(path)
    return found


def _together(environments: dict[str, dict[str, str]]) -> int:
    """All of them as processes of their own; when one ends, all do. A gateway goes ahead: it makes what
    the others begin with."""
    signal.signal(signal.SIGTERM, interrupt)
    processes = []
    with suppress(KeyboardInterrupt):  # a terminal's Ctrl-C reached the services too
        if GATEWAY in environments:
            processes.append(_gateway(environments.pop(GATEWAY)))
        if all(process.poll() is None for process in processes):
            for name, environment in environments.items():
                processes.append(subprocess.Popen(_command(name), env=environment))
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    try:
        for process in processes:
            servers.stop_process(process)
    except KeyboardInterrupt:  # asked twice: nothing is waited for
        for process in processes:
            process.kill()
    return max(0, *(process.wait() for process in processes))


def _gateway(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A gateway that is ready, or has ended."""
    with tempfile.TemporaryDirectory(prefix="squall-") as folder:
        ready = Path(folder, "ready")
        os.mkfifo(ready)
        told = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
        process = subprocess.Popen(
            _command(GATEWAY), env={**environment, "SQUALL_READY_FILE": str(ready)}
        )
        ended = os.pidfd_open(process.pid)
        try:
            select.select([told, ended], [], [])
        except BaseException:
            servers.stop_process(process)
            raise
        finally:
            os.close(told)
            os.close(ended)
        return process


def interrupt(_number: int, _frame: object) -> None:
    """A signal handler that ends as Ctrl-C does."""
    raise KeyboardInterrupt
