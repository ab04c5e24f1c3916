"""Requests with a connect token: passed on to the server in the sandbox, and its answer back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Final

import aiohttp
import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict
from squall_bus.errors import BusError, SquallRefusal
from squall_bus.tasks import within
from squall_contracts.sandboxes import SandboxRecord
from yarl import URL

from squall_gateway.sandboxes.book import Book
from squall_gateway.sandboxes.doors import Doors
from squall_gateway.sandboxes.passes import (
    PREFIX,
    Pass,
    Passes,
    bearer,
    parted,
    token_of,
    without_token,
)
from squall_gateway.sandboxes.talking import Talks
from squall_gateway.settings import Settings
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID, BodyTooLarge, Reply, Upload, refusal
from squall_gateway.web.headers import request_headers, response_headers

log = structlog.get_logger()

SAYS: Final = "X-Verified-User-Data"
"""The header in which the server in the sandbox is told a token's metadata."""
APART: Final = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"
"""What a sandbox serves lies below a path of the gateway's own origin: browsers give it one of its own."""


class Connecting:
    """Answers what is asked below `/sandbox`."""

    def __init__(self, settings: Settings, passes: Passes, doors: Doors, book: Book) -> None:
        self._settings = settings
        self._passes = passes
        self._doors = doors
        self._book = book
        self._talks = Talks(settings.web_max_message_bytes)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._doors.running():
            try:
                yield
            finally:
                await self._talks.close()

    async def handle(self, asked: Asked) -> web.StreamResponse:
        """Answer one request."""
        sandbox_id, rest = parted(asked.raw_path)
        opens = self._passes.opened(sandbox_id, asked.headers, asked.query)
        if opens is None:
            said = {"WWW-Authenticate": 'Bearer realm="squall"'}
            return refusal(
                asked.request_id, 401, "this needs a token of Sandbox.create_connect_token", said
            )
        try:
            record = await self._book.get(opens.account, sandbox_id)
            if record is None or record.ended is not None or record.end_reason:
                return refusal(asked.request_id, 404, f"sandbox {sandbox_id} has ended")
            if not _may_connect(record, asked.client):
                return refusal(asked.request_id, 403, "the sandbox takes nothing from your network")
            session = await self._doors.session(record, opens.port)
        except SquallRefusal as refused:
            return refusal(asked.request_id, 503, str(refused))
        except BusError as error:
            log.warning("connect.bus_failed", request_id=asked.request_id, error=str(error))
            return refusal(asked.request_id, 503, "the server can't take requests just now")
        return await self._pass_on(asked, opens, session, rest)

    async def _pass_on(
        self, asked: Asked, opens: Pass, session: aiohttp.ClientSession, rest: str
    ) -> web.StreamResponse:
        query = without_token(asked.query)
        url = URL(f"http://sandbox{rest}{'?' if query else ''}{query}", encoded=True)
        wait_s = self._settings.web_request_wait_s
        try:
            if asked.is_socket:
                return await self._talks.serve(asked, session, url, _headers(asked, opens), wait_s)
            return await self._exchange(asked, session, url, _headers(asked, opens))
        except BodyTooLarge as error:
            return refusal(asked.request_id, 413, str(error))
        except TimeoutError:
            return refusal(asked.request_id, 504, "the server in the sandbox does not answer")
        except aiohttp.ClientError as error:
            log.info("connect.failed", request_id=asked.request_id, error=str(error))
            return refusal(
                asked.request_id, 502, f"nothing answers at port {opens.port} of the sandbox"
            )

    async def _exchange(
        self,
        asked: Asked,
        session: aiohttp.ClientSession,
        url: URL,
        headers: CIMultiDict[str],
    ) -> web.StreamResponse:
        upload = Upload(
            asked.request, self._settings.web_max_body_bytes, self._settings.web_client_patience_s
        )
        asking = session.request(
            asked.request.method,
            url,
            headers=headers,
            data=None if upload.is_empty else upload.stream(),
            allow_redirects=False,
        )
        answer = await within(self._settings.web_request_wait_s, asking)
        async with answer:
            return await self._answered(asked, answer)

    async def _answered(self, asked: Asked, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        reply = Reply(status=answer.status)
        said = tuple((name.lower(), value) for name, value in answer.raw_headers)
        for name, value in response_headers(said, shares_origin=True):
            reply.headers.add(name, value)
        reply.headers.add("Content-Security-Policy", APART)
        reply.headers[REQUEST_ID] = asked.request_id
        if asked.is_last():
            reply.force_close()
        await reply.prepare(asked.request)
        try:
            async for data in answer.content.iter_any():
                await within(self._settings.web_client_patience_s, reply.write(data))
        except (aiohttp.ClientError, TimeoutError) as error:
            log.info("connect.broken_off", request_id=asked.request_id, error=str(error))
            if asked.request.transport is not None:
                asked.request.transport.abort()  # an end without an end: nobody takes it for whole
            return reply
        await reply.write_eof()
        return reply


def _headers(asked: Asked, opens: Pass) -> CIMultiDict[str]:
    """What the server in the sandbox is told: nothing that only we may say, nor our token."""
    passed = request_headers(
        asked.headers, from_proxy=False, is_socket=asked.is_socket, authenticated=True
    )
    ours = {SAYS.lower().encode()}
    if token_of(asked.headers, asked.query) == bearer(asked.headers):
        ours.add(b"authorization")  # else it is the server's in the sandbox
    headers = CIMultiDict[str]()
    for name, value in passed:
        if name not in ours:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    headers[hdrs.X_FORWARDED_FOR] = asked.client
    headers[hdrs.X_FORWARDED_PROTO] = asked.scheme
    headers["X-Forwarded-Prefix"] = f"{PREFIX}/{opens.sandbox_id}"
    if opens.metadata is not None:
        headers[SAYS] = opens.metadata
    return headers


def _may_connect(record: SandboxRecord, client: str) -> bool:
    sandbox = record.spec.sandbox
    if sandbox is None or sandbox.inbound_cidrs is None:
        return True
    try:
        address = ip_address(client)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in ip_network(network) for network in sandbox.inbound_cidrs)
