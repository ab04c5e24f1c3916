"""The connection as an object, as scripts pass it to `client=`."""

from typing import Self

from squall import _client, _sync
from squall._modal.handle import Absent
from squall.exception import InvalidError

__all__ = ["Client"]


class Client:
    """Stands for this process's one connection to its server. All that takes `client=` uses that
    connection, whatever it is given."""

    def __init__(self) -> None:
        raise InvalidError("a Client comes from Client.from_env()")

    @classmethod
    def from_env(cls) -> Self:
        """The connection to the configured server; made on first use."""
        return cls.__new__(cls)

    @classmethod
    def from_credentials(cls, token_id: str, token_secret: str) -> Self:
        """InvalidError: tokens of Modal's cloud open nothing here."""
        raise InvalidError(
            "Client.from_credentials is for Modal's cloud: name a server with SQUALL_SERVER_URL and "
            "SQUALL_CREDENTIALS, or a profile (`squall config`), and use Client.from_env()"
        )

    @_sync.synced
    async def hello(self) -> None:
        """Connect now. ConnectionError, AuthError."""
        await _client.connected()

    anonymous = Absent("Squall's servers know who asks: use Client.from_env()")
    close = Absent("the connection closes when the process ends")

    def is_closed(self) -> bool:
        """Whether there is no connection at present."""
        return _client.current() is None
