"""Cancelling calls, also when the caller itself is being cancelled and can't wait for it."""

import logging
from typing import TYPE_CHECKING

from squall_contracts.apps import CancelCall

from squall import _sync
from squall.exception import Error

if TYPE_CHECKING:
    from squall._calling.unary import Target
    from squall._client import Client

_log = logging.getLogger("squall")


def abandon(client: "Client", target: "Target", call_id: str, reply_to: str) -> None:
    """Nobody waits for this call any more: cancel it in the background. From any thread."""
    client.router.remove(call_id)
    if client.is_closed:
        return
    message = CancelCall(
        call_id=call_id,
        environment=target.environment,
        function_id=target.function_id,
        reply_to=reply_to,
    )
    _sync.sdk_loop().call_soon_threadsafe(_start, client, message)


def _start(client: "Client", message: CancelCall) -> None:
    _sync.background(_cancel(client, message))


async def _cancel(client: "Client", message: CancelCall) -> None:
    try:
        await client.control(message)
    except Error as error:
        # The call ends anyway once its app stops; the caller is gone and can't be told.
        _log.warning("%s was not cancelled: %s", message.call_id, error)
