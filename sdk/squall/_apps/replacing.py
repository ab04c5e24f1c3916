"""Deploys from the client's side: who deploys, and the end of the containers that are replaced."""

import asyncio
import getpass
import socket
import warnings
from typing import TYPE_CHECKING, Final, get_args

from squall_contracts import subjects
from squall_contracts.apps import ListContainers, Strategy
from squall_contracts.placement import ENDED, ContainerNews, ContainerRecord

from squall._console import showing
from squall.exception import InvalidError, ServerWarning

if TYPE_CHECKING:
    from squall_bus.bus import Delivery

    from squall._client import Client

REPLACED_S: Final = 40.0
"""How long a deploy waits for the end of the containers it replaces: their grace, and some more."""
_LONGEST: Final = 100


def strategy(value: object) -> Strategy:
    """`value` if it is a strategy. InvalidError."""
    known: tuple[Strategy, ...] = get_args(Strategy)
    for each in known:
        if value == each:
            return each
    raise InvalidError(f"strategy must be {' or '.join(map(repr, known))}, not {value!r}")


def author() -> str:
    """Who deploys, for the app's history: `user@machine`, as far as the machine tells."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in many containers
        user = "unknown"
    said = f"{user}@{socket.gethostname()}"
    return "".join(letter for letter in said if letter.isprintable())[:_LONGEST]


async def replaced(client: "Client", app_id: str, version: int) -> None:
    """Return when no container of the app is older than `version`; a ServerWarning names those that
    still are after REPLACED_S. On the SDK loop."""
    alive: dict[str, ContainerRecord] = {}
    changed = asyncio.Event()

    def on_news(delivery: "Delivery") -> None:
        news = delivery.decode(ContainerNews)
        if news.state in ENDED and alive.pop(news.container_id, None) is not None:
            changed.set()

    listening = await client.bus.subscribe(subjects.down_app(app_id), on_news)
    try:
        listed = await client.control(ListContainers(app_id=app_id))
        alive |= {each.container_id: each for each in listed.containers if each.version < version}
        if alive:
            await _until_empty(alive, changed)
    finally:
        await listening.close()
    if alive:
        names = ", ".join(sorted(alive))
        warnings.warn(
            f"still there {REPLACED_S:g} s after the deploy, and new containers wait for it: {names}",
            ServerWarning,
            stacklevel=2,
        )


async def _until_empty(alive: dict[str, ContainerRecord], changed: asyncio.Event) -> None:
    total = len(alive)
    with showing.map_progress("old containers ended") as show:
        try:
            async with asyncio.timeout(REPLACED_S):
                while alive:
                    show(total - len(alive), total, True)
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return
