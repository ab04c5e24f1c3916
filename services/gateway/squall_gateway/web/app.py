"""Wiring of the ingress: the directory, the exchange and the listener."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts.functions import FunctionRecord

from squall_gateway.settings import Settings
from squall_gateway.tracing import Traces
from squall_gateway.web.claims import clash
from squall_gateway.web.core import PATH_PREFIX, Directory, Endpoint
from squall_gateway.web.directory import Follower
from squall_gateway.web.exchange import Exchange
from squall_gateway.web.front import Front, Handler
from squall_gateway.web.lending import Lending
from squall_gateway.web.listening import listening
from squall_gateway.web.tokens import Tokens


class Ingress:
    """What the control API must know of the web: addresses."""

    def __init__(
        self, settings: Settings, context: Context, tokens: Tokens, traces: Traces
    ) -> None:
        self._settings = settings
        self._directory = Directory(settings.web_domain)
        self._follower = Follower(context, self._directory)
        self._exchange = Exchange(context)
        self._lending = Lending(context.bus)
        self.front = Front(
            settings,
            self._directory,
            self._exchange,
            self._lending,
            tokens=tokens,
            traces=traces,
        )
        self.base = settings.web_url
        """How clients reach the listener; without the setting known once it listens."""

    def mount(self, prefix: str, site: Handler) -> None:
        """Let `site` answer what the server itself is asked at `prefix`, a first segment such as
        `/v1`, and below."""
        self.front.mount(prefix, site)

    @asynccontextmanager
    async def running(self, leave: Callable[[], None]) -> AsyncIterator[None]:
        """Take requests within the block; `leave` is called before those under way are waited for.
        SettingsError."""
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            following = group.create_task(self._follower.follow(ready))
            await ready.wait()
            await self._lending.open()
            async with listening(self.front, self._settings) as port:
                if not self.base:
                    self.base = f"http://{_shown(self._settings.web_host)}:{port}"
                if self._settings.web_address_file:
                    path = Path(self._settings.web_address_file)
                    await asyncio.to_thread(path.write_text, self.base)
                try:
                    yield
                finally:
                    leave()
            await self.front.close()
            await self._lending.close()
            await self._exchange.close()
            following.cancel()

    def claim(self, records: Sequence[FunctionRecord], workspace: str) -> None:
        """Refuse a deployed app with an address that another has. SquallRefusal."""
        wanted, others = self._follower.rivals(records, workspace)
        fault = clash(wanted, others)
        if fault is not None:
            raise SquallRefusal("already_exists", fault)

    def urls(self, records: Iterable[FunctionRecord], workspace: str) -> dict[str, str]:
        """The addresses of what was just written, by function or `Class.method`. They answer at
        once."""
        made = self._follower.learn(records, workspace)
        return {endpoint.name: self._url(endpoint) for endpoint in made}

    def _url(self, endpoint: Endpoint) -> str:
        tail = endpoint.web.path if endpoint.web.kind == "route" else ""
        if endpoint.web.custom_domains:
            scheme = self.base.partition("://")[0]
            return f"{scheme}://{endpoint.web.custom_domains[0]}{tail}"
        if not self._settings.web_domain:
            return f"{self.base}{PATH_PREFIX}{endpoint.subdomain}{tail}"
        scheme, _, rest = self.base.partition("://")
        port = rest.partition(":")[2]
        host = f"{endpoint.subdomain}.{self._settings.web_domain}"
        return f"{scheme}://{host}{f':{port}' if port else ''}{tail}"


def _shown(host: str) -> str:
    return "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host
