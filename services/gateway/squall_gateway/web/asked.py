"""What is known of one web request."""

from collections.abc import Callable
from typing import Final

from aiohttp import hdrs
from aiohttp.web_request import BaseRequest
from squall_contracts.web import Headers, WebHead

from squall_gateway.web import core
from squall_gateway.web.core import Found
from squall_gateway.web.headers import Origin

_SOCKET_SCHEMES: Final = {"http": "ws", "https": "wss"}


class Asked:
    """What is known of one request."""

    def __init__(
        self, request: BaseRequest, request_id: str, is_last: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_last`: whether its connection takes no request after it."""
        self.request = request
        self.is_last = is_last
        self.request_id = request_id
        target = request.raw_path
        if not target.startswith("/"):  # a proxy's absolute form, or `*`
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.raw_path, _, self.query = target.partition("?")
        self.host = core.printable(request.headers.get(hdrs.HOST, ""))
        self.client = ""
        self.scheme = "http"
        self.found: Found | None = None
        self.headers: Headers = tuple(
            [(name.lower(), value) for name, value in request.raw_headers]
        )
        self.passed: Headers = ()
        """The headers the app is told."""

    def believe(self, origin: Origin) -> None:
        self.client, self.scheme, self.host = origin.client, origin.scheme, origin.host

    @property
    def is_socket(self) -> bool:
        """Whether it asks for a WebSocket."""
        request = self.request
        return (
            request.method == "GET"
            and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
            and "upgrade" in request.headers.get(hdrs.CONNECTION, "").lower()
        )

    @property
    def function_id(self) -> str:
        return "" if self.found is None else self.found.endpoint.function_id

    def head(
        self,
        ingress: str,
        session: str,
        *,
        body: bytes = b"",
        more_body: bool = False,
        subprotocols: tuple[str, ...] | None = None,
    ) -> WebHead:
        """`subprotocols` are those a WebSocket's client offers; None: it is a plain request."""
        found = self.found
        assert found is not None
        request = self.request
        peer = request.transport.get_extra_info("peername") if request.transport else None
        port = self.host.rpartition(":")[2] if ":" in self.host else ""
        default = 443 if self.scheme == "https" else 80
        return WebHead(
            ingress=ingress,
            session=session,
            kind="http" if subprotocols is None else "websocket",
            method=request.method,
            scheme=self.scheme if subprotocols is None else _SOCKET_SCHEMES[self.scheme],
            http_version=f"{request.version.major}.{request.version.minor}",
            path=core.decoded(found.path),
            raw_path=found.path.encode("utf-8", "surrogateescape"),
            query=self.query.encode("utf-8", "surrogateescape"),
            root_path=found.root_path,
            headers=self.passed,
            client=(self.client, peer[1] if isinstance(peer, tuple) else 0),
            server=(core.hostname(self.host), int(port) if port.isdecimal() else default),
            subprotocols=subprotocols or (),
            body=body,
            more_body=more_body,
            path_parameters=found.path_parameters,
        )
