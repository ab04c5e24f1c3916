"""What every handle of Modal's has, whatever it stands for."""

from typing import TYPE_CHECKING, Any, Final, NoReturn

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


class Handle:
    """Base of what stands for something on the server."""

    get_dashboard_url = Absent("the server's pages list all that runs")

    @property
    def client(self) -> "Client":
        """This process's connection."""
        from squall.client import Client

        return Client.from_env()
