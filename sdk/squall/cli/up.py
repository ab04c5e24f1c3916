"""`squall up` and `squall down`: a server that stays, or single services in the foreground."""

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from squall.cli import servers
from squall.cli import services as single
from squall.cli.report import say
from squall.config import running_server, settings
from squall.exception import ConnectionError, InvalidError

DOWN_WITHIN_S: Final = 180.0
"""Writing the state of many functions to disk takes its time."""


def up(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]...", help=f"Of {', '.join(single.SERVICES)}; none: a whole server."
        ),
    ] = None,
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and show the server's log.")
    ] = False,
    runtime: Annotated[
        str | None, typer.Option(help="docker or process; default: what is there.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of its bus.")] = None,
    web_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of web endpoints; default: 8000, if it is free."),
    ] = None,
    nats_url: Annotated[
        str | None,
        typer.Option(help="For single services: where NATS is; several with commas between."),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(help="For single services: a creds file, or a directory of SERVICE.creds."),
    ] = None,
) -> None:
    """Keep a server on this machine, or run single services."""
    servers.require_server_parts()
    if services:
        raise typer.Exit(single.run(services, nats_url, credentials))
    if nats_url is not None or credentials is not None:
        raise InvalidError("--nats-url and --credentials are for single services: name some")
    options = _options(runtime, port, web_port)
    state = settings().state_dir
    if (running := running_server(state)) is not None:
        say(f"already up: {running.url}, runtime {running.runtime} (squall down stops it)")
        return
    state.mkdir(parents=True, exist_ok=True)
    command = servers.server_command("--state", str(state), *options)
    if foreground:
        raise typer.Exit(_stay(command))
    _start(command, state / "server.log")


def _options(runtime: str | None, port: int | None, web_port: int | None) -> list[str]:
    if runtime not in (None, "docker", "process"):
        raise InvalidError(f"--runtime {runtime}: choose docker or process")
    options = ["--runtime", runtime] if runtime else []
    options += ["--port", str(port)] if port is not None else []
    return options + (["--web-port", str(web_port)] if web_port is not None else [])


def _start(command: list[str], log: Path) -> None:
    with log.open("w+b") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            told = servers.read_announcement(process, errors)
        except KeyboardInterrupt:
            servers.stop_process(process)
            raise
    say(f"{servers.describe(told, _where(told))} (squall down stops it)")


def _where(told: dict[str, Any]) -> str:
    return (
        f"up: {told['url']}, web endpoints at {told['web_url']}, "
        f"dashboard at {told['web_url']}/dashboard (squall dashboard opens it)"
    )


def _stay(command: list[str]) -> int:
    """Run the server as a part of this command; returns its status."""
    process = subprocess.Popen([*command, "--until-parent-exits"], stdout=subprocess.PIPE)
    signal.signal(signal.SIGTERM, single.interrupt)
    with suppress(KeyboardInterrupt):  # a terminal's Ctrl-C reached the server too
        told = servers.read_announcement(process, None)
        say(f"{servers.describe(told, _where(told))} (Ctrl-C stops it)")
        return process.wait()
    servers.stop_process(process)
    return process.wait()


def down() -> None:
    """Stop the server of `squall up` and wait for its end."""
    state = settings().state_dir
    if running_server(state) is None:
        say("nothing is up")
        return
    pid = int(_announced(state)["pid"])
    os.kill(pid, signal.SIGTERM)
    if not _ended(pid, DOWN_WITHIN_S):
        raise ConnectionError(
            f"the server (process {pid}) did not end within {DOWN_WITHIN_S:.0f} s: "
            f"see {state / 'server.log'}, or end it with kill -9 {pid}"
        )
    say("down")


def _announced(state: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((state / "server.json").read_text())
    return told


def _ended(pid: int, within_s: float) -> bool:
    """Wait for a process that isn't our child."""
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            return bool(select.select([handle], [], [], within_s)[0])
        finally:
            os.close(handle)
    until = time.monotonic() + within_s
    while time.monotonic() < until:  # no event to wait for on this system
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
