"""`Proxy`: a fixed address by which containers leave Modal's cloud, which has no effect here."""

from squall import _validate
from squall._modal import spellings
from squall._modal.handle import Absent
from squall.exception import InvalidError

__all__ = ["Proxy"]


class Proxy:
    """Accepted, with a notice: requests leave from the machines' own addresses."""

    name: str

    def __init__(self) -> None:
        raise InvalidError("a Proxy comes from Proxy.from_name(…)")

    @classmethod
    def from_name(
        cls, name: str, *, environment_name: str | None = None, client: object = None
    ) -> "Proxy":
        """For `@app.function(proxy=…)`. Nothing is looked up. InvalidError for a bad name."""
        if environment_name is not None:
            _validate.environment_name(environment_name)
        made = cls.__new__(cls)
        made.name = _validate.object_name("name", name)
        spellings.without_effect("proxy", made)
        return made

    object_id = Absent("there are no proxies here")
    hydrate = Absent("there are no proxies here")
    client = Absent("there are no proxies here")
    get_dashboard_url = Absent("there are no proxies here")
