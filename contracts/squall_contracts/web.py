"""Ingress <-> guest: an HTTP request or a WebSocket, from its head to its last byte.

The head is the one input of a call, stored like any other, so that it wakes containers and waits for
them; or it is offered, unstored, to a container that has just said that it has room. The guest that
takes it up and the ingress that sent it then speak in frames, unstored: many frames may share a
message. Whoever sends data may be WINDOW_BYTES ahead of whoever reads it.
"""

import hashlib
import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from squall_contracts.message import Message

CHUNK_BYTES: Final = 256 * 1024
"""The most data one frame carries."""
WINDOW_BYTES: Final = 1024 * 1024
"""How much data of one direction of a session may be on its way or unread."""
CHECK_S: Final = 2.0
"""How often either end of open sessions asks whether the other still lives."""
SUBDOMAIN_CHARACTERS: Final = 63
"""The longest label of a domain name."""

WebKind = Literal["asgi", "wsgi", "server", "fastapi", "route"]


class WebSpec(Message, frozen=True, kw_only=True):
    """What makes a function or a method a web endpoint."""

    kind: WebKind
    """`asgi`, `wsgi`: the function returns the app. `server`: it starts one on `port`. `fastapi`: it
    is the one route of an app of its own. `route`: it answers `http_method` at `path` of its app's
    address."""
    label: str = ""
    """What its address says in place of app and function; empty: those."""
    http_method: str = "GET"
    path: str = "/"
    docs: bool = False
    """For `fastapi`: whether /docs and /openapi.json are served."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    startup_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    """For `server`: how long until its port takes connections."""
    requires_proxy_auth: bool = False
    custom_domains: tuple[str, ...] = ()


Headers = tuple[tuple[bytes, bytes], ...]


class WebHead(msgspec.Struct, frozen=True, array_like=True):
    """The payload of a web input."""

    ingress: str
    """Who speaks for the client, as web_subjects.web_up has it."""
    session: str
    kind: Literal["http", "websocket"]
    method: str
    scheme: str
    http_version: str
    path: str
    """Decoded."""
    raw_path: bytes
    query: bytes
    root_path: str
    headers: Headers
    client: tuple[str, int] | None
    server: tuple[str, int]
    subprotocols: tuple[str, ...] = ()
    body: bytes = b""
    """The whole body unless `more_body`."""
    more_body: bool = False
    path_parameters: dict[str, str] = {}


class Taken(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="t"):
    """Guest: the request is mine. Whoever is asked to run it again is told not to."""

    session: str


class Started(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="s"):
    """Guest: the response's head, with as much of its body as there was by then."""

    session: str
    status: int
    headers: Headers
    data: bytes
    more: bool


class Data(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="d"):
    """Either: more of a body. An HTTP message's last has not `more`."""

    session: str
    data: bytes
    more: bool


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="a"):
    """Guest: the WebSocket is accepted."""

    session: str
    subprotocol: str | None
    headers: Headers


class Said(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="m"):
    """Either: a WebSocket message, or with `more` a part of one. Text travels as UTF-8."""

    session: str
    data: bytes
    is_text: bool
    more: bool


class Credit(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="c"):
    """Either: this much of what you sent has been read."""

    session: str
    size_bytes: int


class Closed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="x"):
    """Either: nothing more comes and nothing more is read. From the ingress: the client is gone. From
    the guest: the WebSocket's close, or why there is no (whole) response."""

    session: str
    code: int = 1005
    """Of a WebSocket; or an HTTP status."""
    reason: str = ""


class Alive(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="l"):
    """Ingress: are you there? Guest: I am. `session` is empty."""

    session: str = ""


class Offered(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="o"):
    """Ingress: run this, which is not stored, if you can begin it at once. Only to a container that
    has told of room."""

    session: str
    data: bytes
    """Inputs, as they would be stored."""


class Declined(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="n"):
    """Guest: what you offered was not begun and is not going to be; after Taken: it was given up."""

    session: str


Frame = Taken | Started | Data | Accepted | Said | Credit | Closed | Alive | Offered | Declined


class Frames(msgspec.Struct, frozen=True, array_like=True):
    """What travels: frames of any sessions between one container and one ingress, in order."""

    sender: str
    """The container or the ingress that sent them."""
    items: tuple[Frame, ...]
    room: int = 0
    """Of a container: how many more requests it could begin now. 0 too from one that takes no
    offers."""
    epoch: int = 0
    """Of a container: which connection this is; where it has changed, what was offered may not have
    come."""


class WebAsk(Message, frozen=True, kw_only=True):
    """Guest -> ingress (request): shall I run this input, which was delivered before? Reply:
    WebAnswer. With an empty `session`: are you there?"""

    session: str = ""


class WebAnswer(Message, frozen=True, kw_only=True, tag="web_answer"):
    wanted: bool


# --- addresses --------------------------------------------------------------------------------------

_UNFIT: Final = re.compile(r"[^a-z0-9]+")


def slug(text: str) -> str:
    """`text` as a part of a domain name: small letters, digits, and a dash for all else."""
    return _UNFIT.sub("-", text.lower()).strip("-")


def subdomain(
    workspace: str, suffix: str, app: str, function: str, spec: WebSpec, *, dev: str = ""
) -> str:
    """`<workspace>--<app>-<function>`, the first label of an endpoint's host and its name in paths.

    `function` may be `Class.method`. Routes share one address for each app. The environment's web
    suffix follows the workspace, if it has one; an app that only runs has `dev` at the end; what is
    too long is cut and ends in a digest.
    """
    named = spec.label or (app if spec.kind == "route" else f"{app}-{function}")
    owner = slug(f"{workspace}-{suffix}") if suffix else slug(workspace)
    full = f"{owner}--{slug(named)}{f'-{slug(dev)}' if dev else ''}"
    if len(full) <= SUBDOMAIN_CHARACTERS:
        return full
    return f"{full[:56]}-{hashlib.sha256(full.encode()).hexdigest()[:6]}"
