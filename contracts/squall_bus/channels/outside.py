"""A NATS server that isn't Squall's: what a user's program publishes there."""

import asyncio
import logging
from typing import Final

from squall_bus.errors import BusRefused, BusUnreachable, StoreRefused, StoreTimeout

_TIMEOUT_S: Final = 5.0
_NO_STREAM: Final = 503
_log: Final = logging.getLogger("squall.bus")


class OutsideServer:
    """A connection to one server or cluster, opened on first use and kept."""

    def __init__(self, addresses: str) -> None:
        """`addresses`: URLs with commas between them; user and password, or a token, may be in
        them."""
        self._addresses = [each.strip() for each in addresses.split(",") if each.strip()]
        self._opening = asyncio.Lock()
        self._client: object | None = None

    async def store(self, subject: str, payload: bytes) -> None:
        """Publish, and wait until a stream has stored it.

        BusUnreachable if no server answers, BusRefused if it lets nobody in, StoreRefused if no
        stream takes the subject or it won't store the message, StoreTimeout if no ack came.
        """
        from nats.errors import Error as NatsError
        from nats.js.errors import APIError, NoStreamResponseError

        from squall_bus.wire.stock import Client

        async with self._opening:
            if self._client is None:
                self._client = await self._connected()
        assert isinstance(self._client, Client)
        try:
            await self._client.jetstream(timeout=_TIMEOUT_S).publish(subject, payload)
        except NoStreamResponseError as error:
            missing = "no stream there takes this subject: add one that does"
            raise StoreRefused(_NO_STREAM, missing, subject) from error
        except APIError as error:
            said = error.description or "the server gave no reason"
            raise StoreRefused(error.err_code or 0, said, subject) from error
        except (NatsError, TimeoutError) as error:
            raise StoreTimeout(subject, _TIMEOUT_S) from error

    async def close(self) -> None:
        """Close the connection, if there is one."""
        from squall_bus.wire.stock import Client

        if isinstance(self._client, Client):
            await self._client.close()
        self._client = None

    async def _connected(self) -> object:
        from nats.errors import Error as NatsError

        from squall_bus.wire.stock import Client

        client = Client()
        failed: list[Exception] = []

        async def on_error(error: Exception) -> None:
            failed[:] = [error]
            _log.debug("%s: %s", _without_secrets(self._addresses[0]), error)

        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await client.connect(self._addresses, error_cb=on_error, max_reconnect_attempts=-1)
        except (NatsError, OSError, TimeoutError) as error:
            await client.close()
            cause = failed[0] if failed else error
            shown = ", ".join(_without_secrets(each) for each in self._addresses)
            kind = BusRefused if "uthorization" in str(cause) else BusUnreachable
            raise kind(f"no connection to {shown}: {str(cause) or 'no answer in time'}") from error
        return client


def _without_secrets(address: str) -> str:
    scheme, separator, rest = address.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
