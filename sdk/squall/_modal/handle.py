"""What every handle of Modal's has, whatever it stands for."""

from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from squall import _sync
from squall.exception import InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall.client import Client


class Absent:
    """A name of Modal's that Squall lacks: asking for it is an AttributeError that says what to use."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._name = ""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[Any]) -> NoReturn:
        raise AttributeError(f"{owner.__name__}.{self._name} is not available: {self.text}")


HISTORY: Final = "what happened over time is in the services' metrics: see docs/metrics.md"


class Page(NamedTuple):
    """Where the dashboard shows something."""

    path: str
    """Its section, and its id where it has a page of its own: `functions/fn-…`."""
    environment: str | None
    """None: the client's."""


def newest_only(version: int | None) -> None:
    """InvalidError for a version: callers get what was deployed last."""
    if version is not None:
        raise InvalidError(
            "version: calls go to what was deployed last: leave it out, deploy the old code under "
            "another name, or go back with `squall app rollback`"
        )


async def shown_at(page: Page) -> str:
    """The address of a page. NotFoundError where the server has no dashboard."""
    from squall_contracts.apps import ServerInfo

    from squall import _client

    client = await _client.connected()
    url = (await client.control(ServerInfo())).dashboard_url
    if not url:
        raise NotFoundError("the server has no dashboard: its gateway has no address for the web")
    return f"{url}{page.environment or client.environment}/{page.path}"


class Handle:
    """Base of what stands for something on the server."""

    async def _page(self) -> Page:
        """Where it is shown; looks up what that takes."""
        raise NotImplementedError

    @_sync.synced
    async def get_dashboard_url(self) -> str:
        """The address of its page in the server's dashboard, which `squall dashboard` signs in to; of
        the list it is in where it has none of its own. NotFoundError, ExecutionError: as `hydrate`."""
        return await shown_at(await self._page())

    @property
    def client(self) -> "Client":
        """This process's connection."""
        from squall.client import Client

        return Client.from_env()
