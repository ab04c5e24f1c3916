"""The first and the last of every web request: where it goes, who may, what is logged."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import web
from aiohttp.web_request import BaseRequest
from squall_bus.errors import BusError
from squall_contracts.message import new_id

from squall_gateway.settings import Settings
from squall_gateway.tracing import Traces
from squall_gateway.web import core, headers
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import BodyTooLarge, refusal
from squall_gateway.web.core import Directory, Endpoint, Missing
from squall_gateway.web.exchange import Exchange
from squall_gateway.web.lending import Lending
from squall_gateway.web.requests import Requests
from squall_gateway.web.sockets import Sockets
from squall_gateway.web.tokens import Tokens

log = structlog.get_logger()

REQUEST_ID: Final = "squall-request-id"
Handler = Callable[[Asked], Awaitable[web.StreamResponse]]


class Front:
    """Answers whatever comes in; made once for each listener."""

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        exchange: Exchange,
        lending: Lending,
        *,
        tokens: Tokens,
        traces: Traces,
    ) -> None:
        self._directory = directory
        self._tokens = tokens
        self._traces = traces
        self._trusted = headers.networks(settings.web_trusted_proxies)
        self._max_body = settings.web_max_body_bytes
        self._log = settings.web_access_log and log.is_enabled_for(logging.INFO)
        self._observers: list[Callable[[Endpoint, float, int], None]] = []
        self._requests = Requests(settings, directory, exchange, lending)
        self._sockets = Sockets(settings, exchange)
        self._sites: dict[str, Handler] = {}
        self._draining = False

    def mount(self, prefix: str, site: Handler) -> None:
        """Let `site` answer what the server itself is asked at `prefix` (`/v1`) and below."""
        self._sites[prefix] = site

    def observe(self, observer: Callable[[Endpoint, float, int], None]) -> None:
        """Call `observer(endpoint, seconds, status)` for each request that was for an endpoint."""
        self._observers.append(observer)

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request. CancelledError when its client is gone."""
        since_s = time.monotonic()
        asked = Asked(request, new_id("rq"), is_last=lambda: self._draining)
        status = 499
        try:
            answer = await self._answer(asked)
            if self._draining and not answer.prepared:
                answer.force_close()
            status = answer.status
            return answer
        finally:
            if asked.found is not None:
                for observer in self._observers:
                    observer(asked.found.endpoint, time.monotonic() - since_s, status)
            if self._log:
                log.info(
                    "web.request",
                    request_id=asked.request_id,
                    method=request.method,
                    host=asked.host,
                    path=core.printable(asked.raw_path),
                    status=status,
                    ms=round((time.monotonic() - since_s) * 1000, 1),
                    function_id=asked.function_id,
                    client=asked.client,
                )

    async def _answer(self, asked: Asked) -> web.StreamResponse:
        peer = asked.request.remote or ""
        asked.believe(headers.origin(peer, asked.host, asked.headers, self._trusted))
        found = self._directory.find(asked.host, asked.raw_path, asked.request.method)
        if isinstance(found, Missing):
            return await self._nowhere(asked, found)
        asked.found = found
        if found.endpoint.web.requires_proxy_auth and not await self._tokens.open(
            found.endpoint.account, asked.headers
        ):
            said = {"WWW-Authenticate": 'Bearer realm="squall"'}
            return refusal(
                asked.request_id, 401, "this needs a token of `squall proxy-token`", said
            )
        is_socket = asked.is_socket
        asked.passed = headers.request_headers(
            asked.headers,
            from_proxy=bool(self._trusted) and headers.is_trusted(peer, self._trusted),
            is_socket=is_socket,
            authenticated=found.endpoint.web.requires_proxy_auth,
        )
        handler: Handler = self._sockets.serve if is_socket else self._requests.serve
        try:
            if self._traces.are_wanted:
                return await self._traced(handler, asked, found.endpoint)
            return await handler(asked)
        except BodyTooLarge as error:
            return refusal(asked.request_id, 413, str(error))
        except BusError as error:
            log.warning("web.bus_failed", request_id=asked.request_id, error=str(error))
            return refusal(asked.request_id, 503, "the server can't take requests just now")

    async def _nowhere(self, asked: Asked, missing: Missing) -> web.StreamResponse:
        """No endpoint is asked: the server itself, or nobody."""
        site = self._site(asked.raw_path) if missing.at_home else None
        if site is not None:
            return await site(asked)
        allow = {"Allow": ", ".join(missing.allow)} if missing.allow else {}
        return refusal(asked.request_id, missing.status, missing.reason, allow)

    async def _traced(
        self, handler: Handler, asked: Asked, endpoint: Endpoint
    ) -> web.StreamResponse:
        parent = asked.request.headers.get("traceparent", "")
        with self._traces.request(f"{asked.request.method} {endpoint.name}", parent) as span:
            if span is not None:
                span.note("squall.request_id", asked.request_id)
                span.note("squall.function_id", asked.function_id)
                span.note("url.path", core.printable(asked.raw_path))
            answer = await handler(asked)
            if span is not None:
                span.note("http.response.status_code", str(answer.status))
            return answer

    def _site(self, path: str) -> Handler | None:
        """What is mounted at `path` or above it."""
        first = "/" + path.removeprefix("/").partition("/")[0]
        return self._sites.get(first)

    def drain(self) -> None:
        """The gateway ends: each connection ends with the request that is on it, and WebSockets,
        which have no end of their own, now."""
        self._draining = True
        self._sockets.drain()

    async def close(self) -> None:
        """Let go of what is parked."""
        await self._requests.close()
