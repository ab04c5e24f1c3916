"""Asking the server: every command's request goes through here, on the SDK's own loop."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from squall_contracts import apps

from squall.config import find_server
from squall.exception import ConnectionError, NotFoundError

if TYPE_CHECKING:
    from squall._client import Client


def ask(message: Any) -> Any:
    """The reply to a request of the control API. Refusals are raised as squall.exception has them.

    ConnectionError when no server is configured or running.
    """
    return run(lambda client: client.control(message))


def run(work: "Callable[[Client], Coroutine[Any, Any, Any]]") -> Any:
    """What `work` returns, given the connection. ConnectionError as `ask`."""
    require_server()
    from squall import _client, _sync

    async def connected() -> Any:
        return await work(await _client.connected())

    return _sync.run(connected())


def require_server() -> None:
    """ConnectionError, with the remedy, when there is no server to ask."""
    if find_server() is None:
        raise ConnectionError(
            "no server is running or configured: start one with `squall up`, "
            "or name one in SQUALL_SERVER_URL and SQUALL_CREDENTIALS"
        )


def environment(given: str | None) -> str:
    """The environment a command works in: `--env`, else the configured one."""
    from squall.config import settings

    return given or settings().environment


def find_app(reference: str, env: str | None) -> apps.AppEntry:
    """An app by id, or by name in the environment; running ones before stopped ones.

    NotFoundError names what was looked for.
    """
    listed: apps.AppList = ask(apps.ListApps(environment=None))
    if reference.startswith("ap-"):
        found = [entry for entry in listed.apps if entry.app_id == reference]
    else:
        wanted = environment(env)
        found = [e for e in listed.apps if e.name == reference and e.environment == wanted]
    if not found:
        where = "" if reference.startswith("ap-") else f" in environment {environment(env)}"
        raise NotFoundError(f"no app {reference!r}{where}: see `squall app list`")
    return max(found, key=lambda entry: (entry.state != "stopped", entry.created_unix_s))
