"""Templates and the files beside them, read once. Whatever is shown is escaped."""

import hashlib
from importlib import resources
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from squall_gateway.dashboard import text
from squall_gateway.dashboard.wire import with_query

TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class Asset(NamedTuple):
    content: bytes
    content_type: str
    version: str
    """Changes with the content: it stands in the URL, so that browsers may keep it."""


class Renderer:
    """Makes HTML of a page's name and what it shows."""

    def __init__(self, base: str) -> None:
        """`base`: the path all of the dashboard is below. It takes a good part of a second."""
        self.assets = _assets()
        self._environment = Environment(
            loader=PackageLoader("squall_gateway.dashboard"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "ago": text.ago,
            "moment": text.moment,
            "clock": text.clock,
            "duration": text.duration,
            "lasting": text.lasting,
            "size": text.size,
            "number": text.number,
            "percent": text.percent,
            "schedule": text.schedule,
            "segment": lambda said: quote(said, safe=""),
        }
        self._environment.globals |= {"base": base, "asset": self._asset, "with_query": with_query}
        for name in self._environment.list_templates():
            self._environment.get_template(name)  # compiled now, not while somebody waits

    def page(self, name: str, **shown: Any) -> str:
        return self._environment.get_template(f"{name}.html").render(shown)

    def _asset(self, name: str) -> str:
        return f"-/static/{self.assets[name].version}/{name}"


def _assets() -> dict[str, Asset]:
    found = {}
    for path in (resources.files("squall_gateway.dashboard") / "static").iterdir():
        kind = path.name.rpartition(".")[2]
        if kind in TYPES:
            content = path.read_bytes()
            version = hashlib.sha256(content).hexdigest()[:16]
            found[path.name] = Asset(content, TYPES[kind], version)
    return found
