"""The server a command talks to: the one configured, or one that lives as long as the command."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import IO, Any, Final, Protocol

from squall.cli.report import say
from squall.config import Server, find_server, use_server
from squall.exception import ConnectionError, InvalidError

READY_WITHIN_S: Final = 120.0
"""The process runtime may download a Python's packages first."""
STOP_WITHIN_S: Final = 40.0


class ServerOfRun(Protocol):
    def ready(self, *, quiet: bool) -> None:
        """Return once calls can be made. ConnectionError says why that will never be."""


@contextmanager
def for_this_run(*, detached: bool, asks_help: bool) -> Iterator[ServerOfRun]:
    """The configured server, else an embedded one that is started now and ends with the block."""
    if asks_help or find_server() is not None:
        yield Configured()
        return
    if detached:
        raise InvalidError(
            "--detach needs a server that stays when this command ends: start one with `squall up`"
        )
    embedded = Embedded()
    try:
        yield embedded
    finally:
        embedded.stop()


class Configured:
    """A server that runs anyway."""

    def ready(self, *, quiet: bool) -> None:
        """Nothing to wait for: connecting says whether it answers."""


class Embedded:
    """A server of this process's own. It also ends by itself when this process is killed."""

    def __init__(self) -> None:
        require_server_parts()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        self._process = subprocess.Popen(
            server_command("--ephemeral", "--until-parent-exits"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for the client, which then stops the server
        )

    def ready(self, *, quiet: bool) -> None:
        """Wait until it serves, use it, and unless `quiet` say in one line what it is."""
        told = read_announcement(self._process, self._errors)
        use_server(
            Server(
                url=told["url"],
                credentials=told["credentials"],
                runtime=told["runtime"],
                source="embedded",
            )
        )
        if not quiet:
            say(describe(told, "a server for this run"))

    def stop(self) -> None:
        """End it and wait for that; kills it when it takes longer than STOP_WITHIN_S."""
        from squall import _client

        _client.shutdown()
        stop_process(self._process)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


def describe(told: dict[str, Any], what: str) -> str:
    """`a server for this run, containers by docker (engine 28.2.2)`."""
    why = f" ({told['reason']})" if told.get("reason") else ""
    return f"{what}, runtime {told['runtime']}{why}"


def server_command(*options: str) -> list[str]:
    """The command line of a one-machine server; SQUALL_RUNTIME picks its runtime."""
    runtime = os.environ.get("SQUALL_RUNTIME")
    chosen = ["--runtime", runtime] if runtime else []
    return [sys.executable, "-P", "-m", "squall_server", *chosen, *options]


def require_server_parts() -> None:
    """InvalidError unless the packages a server needs are installed here."""
    missing = [name for name in ("aiodocker", "anyio", "structlog", "uv") if not find_spec(name)]
    if missing:
        raise InvalidError(
            "no server is configured, and this installation can't start one "
            f"({', '.join(missing)} missing): pip install 'squall[server]', "
            "or name a server in SQUALL_SERVER_URL and SQUALL_CREDENTIALS"
        )


def read_announcement(process: subprocess.Popen[bytes], errors: IO[bytes] | None) -> dict[str, Any]:
    """The line a server prints when it serves. ConnectionError with its last words otherwise.

    `errors` is where its stderr goes; None: to the terminal, where everybody can read it.
    """
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_WITHIN_S)
    line = process.stdout.readline() if readable else b""
    if line:
        told: dict[str, Any] = json.loads(line)
        return told
    if not readable:
        stop_process(process)
    process.wait()
    why = "see above" if errors is None else last_words(errors)
    raise ConnectionError(f"the server did not start: {why}")


def last_words(errors: IO[bytes]) -> str:
    """The last line a server wrote to stderr, for an error of one line."""
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("squall server: ") if lines else "it ended without a word"


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Ask `process` to end, wait, and kill it when it doesn't."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        say(f"the server did not end within {STOP_WITHIN_S:.0f} s and was killed")
        process.kill()
        process.wait()


def version() -> str:
    """The version of the installed distribution."""
    from importlib.metadata import version

    return version("squall")
