"""The dashboard's way through a request: who asks, whether they may, and which answer it is."""

import asyncio
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import structlog
from aiohttp import web
from squall_bus.errors import BusError, SquallRefusal
from squall_bus.service import Context
from squall_contracts.subjects import check_environment

from squall_gateway.dashboard import guard
from squall_gateway.dashboard.actions import Actions
from squall_gateway.dashboard.attention import Attention
from squall_gateway.dashboard.door import SESSION_S, Door
from squall_gateway.dashboard.events import Events
from squall_gateway.dashboard.pages import Pages, Shown, missing
from squall_gateway.dashboard.session import COOKIE, Visitor, cookie_of
from squall_gateway.dashboard.views.common import Place
from squall_gateway.dashboard.wire import with_query
from squall_gateway.letters import Ask
from squall_gateway.web.core import Endpoint
from squall_gateway.web.requests import Asked

if TYPE_CHECKING:
    from squall_gateway.dashboard.render import Renderer

log = structlog.get_logger()

PREFIX: Final = "/dashboard"
OWN: Final = "-"
"""The first part of paths that are of no environment."""
LONGEST_FORM: Final = 64 * 1024
FIELDS_AT_MOST: Final = 300
YEAR_S: Final = 31_536_000
DONE: Final = {
    "retried": "The input runs again, as a new call.",
    "purged": "Thrown away.",
    "called": "Called; see Calls for what becomes of it.",
    "paused": "Paused: the schedule is not followed.",
    "resumed": "The schedule is followed again.",
    "stopped": "The container was told to stop.",
    "cancelled": "The call was cancelled.",
    "reset": "Its next input starts a container.",
}


class Dashboard:
    """Answers everything below PREFIX."""

    def __init__(self, context: Context, ask: Ask, door: Door) -> None:
        self.attention = Attention(context)
        self._door = door
        self._pages = Pages(context)
        self._actions = Actions(context, ask, self.attention.known)
        self._made: Renderer | None = None
        self._making = asyncio.Lock()
        self._events = Events(context, self.attention)

    def leave(self) -> None:
        """The gateway ends: streams of events end now."""
        self._events.leave()

    def observe(self, endpoint: Endpoint, seconds: float, status: int) -> None:
        """A web endpoint was asked; 499: its client left before the answer."""
        if status != 499:
            self.attention.served(endpoint, seconds, failed=status >= 500)

    @property
    def _renderer(self) -> "Renderer":
        assert self._made is not None, "made before the first answer"
        return self._made

    async def _make(self) -> None:
        """Compile the templates when first somebody comes, beside the loop."""
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_renderer)

    async def handle(self, asked: Asked) -> web.StreamResponse:
        """Answer one request below PREFIX."""
        await self._make()
        path = asked.raw_path.removeprefix(PREFIX)
        if asked.request.method not in {"GET", "HEAD", "POST"}:
            return _plain(405, "use GET or POST", {"Allow": "GET, HEAD, POST"})
        if path in {"", "/"}:
            return _away(f"{PREFIX}/main/")
        first, _, rest = path.removeprefix("/").partition("/")
        try:
            if first == OWN:
                return await self._own(asked, rest)
            return await self._inside(asked, unquote(first), rest)
        except TimeoutError:
            return self._trouble(asked, 503, "the server could not be reached in time")
        except BusError as error:
            log.warning("dashboard.failed", request_id=asked.request_id, error=str(error))
            return self._trouble(asked, 503, "the server can't answer that just now")

    # --- of no environment -------------------------------------------------------------------------

    async def _own(self, asked: Asked, rest: str) -> web.StreamResponse:
        parts = rest.split("/")
        if parts[0] == "static" and len(parts) == 3:
            return self._static(parts[2])
        if rest == "login":
            return await self._login(asked)
        if rest == "logout" and asked.request.method == "POST":
            return await self._logout(asked)
        return _plain(404, "nothing is here")

    def _static(self, name: str) -> web.Response:
        asset = self._renderer.assets.get(name)
        if asset is None:
            return _plain(404, "nothing is here")
        headers = {
            **guard.HEADERS,
            "Content-Type": asset.content_type,
            "Cache-Control": f"public, max-age={YEAR_S}, immutable",
        }
        return web.Response(body=asset.content, headers=headers)

    async def _login(self, asked: Asked) -> web.Response:
        """A code in a link or in the login page's form opens a session."""
        if asked.request.method == "POST":
            if asked.request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
                return self._door_page(asked, "That came from another site.", 403)
            said = (await _form(asked)).get("token", [""])[0]
        else:
            said = _query(asked).get("code", "")
        if not said:
            return self._door_page(asked, "", 200)
        visitor = await self._door.authenticate(said)
        if visitor is None:
            wrong = "That opens nothing: it was used, or is too old. Ask for another."
            return self._door_page(asked, wrong, 403)
        # A page that goes on by itself, not a redirect: browsers leave a strict cookie out of what
        # another program's link leads to, until a page of ours asks.
        html = self._renderer.page("welcome", to=f"{PREFIX}/main/")
        answer = web.Response(text=html, content_type="text/html", headers=guard.HEADERS)
        self._remember(asked, answer, visitor)
        return answer

    def _remember(self, asked: Asked, answer: web.Response, visitor: Visitor) -> None:
        answer.set_cookie(
            COOKIE,
            self._door.signer.sealed("session", visitor),
            max_age=int(SESSION_S),
            path=PREFIX,
            httponly=True,
            secure=asked.scheme == "https",
            samesite="Strict",
        )

    async def _logout(self, asked: Asked) -> web.Response:
        visitor = await self._visitor(asked)
        answer = _away(f"{PREFIX}/{OWN}/login")
        if visitor is None:
            return answer
        if not self._may_act(asked, visitor, await _form(asked)):
            return _plain(403, "that did not come from a page of the dashboard")
        answer.del_cookie(COOKIE, path=PREFIX)
        return answer

    def _door_page(self, asked: Asked, said: str, status: int) -> web.Response:
        html = self._renderer.page("login", said=said)
        return web.Response(
            text=html, status=status, content_type="text/html", headers=guard.HEADERS
        )

    # --- of an environment -------------------------------------------------------------------------

    async def _inside(self, asked: Asked, environment: str, rest: str) -> web.StreamResponse:
        visitor = await self._visitor(asked)
        if visitor is None:
            return _away(f"{PREFIX}/{OWN}/login")
        query = _query(asked)
        key = self._door.signer.form_key(visitor)
        headers = asked.request.headers
        given = headers.get(guard.KEY_HEADER) or query.pop(guard.KEY_FIELD, "")
        if asked.request.method != "POST" and not guard.may_read(headers, key, given):
            return _plain(403, "the dashboard's pages are for windows of their own")
        try:
            check_environment(environment)
        except ValueError as error:
            return _plain(404, str(error))
        followed = await self.attention.to(visitor.account)
        place = Place(
            self.attention.known,
            followed.tally,
            visitor.account,
            environment,
            query,
            time.time(),
        )
        if asked.request.method == "POST":
            return await self._act(asked, visitor, place)
        section, _, name = rest.partition("/")
        if section == OWN:
            return await self._events.stream(asked, place, name)
        shown = await self._shown(place, unquote(section), unquote(name))
        return self._html(visitor, place, shown)

    async def _shown(self, place: Place, section: str, name: str) -> Shown:
        if place.environment not in place.known.environments_of(place.account):
            return missing("", f"environment {place.environment}")
        return await self._pages.show(place, section, name)

    def _html(self, visitor: Visitor, place: Place, shown: Shown) -> web.Response:
        html = self._renderer.page(
            shown.template,
            **shown.values,
            title=shown.title,
            section=shown.section,
            place=place,
            now=place.now,
            query=dict(place.query),
            environments=place.known.environments_of(place.account),
            workspace=visitor.name,
            key=self._door.signer.form_key(visitor),
            done=DONE.get(place.asked("done"), ""),
        )
        return web.Response(
            text=html, status=shown.status, content_type="text/html", headers=guard.HEADERS
        )

    async def _act(self, asked: Asked, visitor: Visitor, place: Place) -> web.Response:
        form = await _form(asked)
        if not self._may_act(asked, visitor, form):
            return _plain(403, "that did not come from a page of the dashboard")
        action, back = form.get("action", [""])[0], form.get("back", [""])[0]
        ids = form.get("id", [])
        if "one" in form:  # the button of a row, whatever else is chosen
            action, ids = "retry", form["one"][:1]
        try:
            done = await self._actions.do(action, place.account, place.environment, ids)
        except SquallRefusal as refusal:
            shown = Shown("refused", "Not done", "", {"why": str(refusal), "back": back}, 409)
            return self._html(visitor, place, shown)
        log.info("dashboard.done", action=action, account=visitor.account, ids=ids)
        section, _, query = back.partition("?")
        if section.startswith("/") or "\\" in section or ":" in section:
            section = ""
        kept = {name: value for name, value in parse_qsl(query) if name != "done"}
        return _away(f"{PREFIX}/{place.environment}/{section}{with_query(kept, done=done)}")

    def _may_act(self, asked: Asked, visitor: Visitor, form: dict[str, list[str]]) -> bool:
        key = self._door.signer.form_key(visitor)
        given = form.get(guard.KEY_FIELD, [""])[0]
        return guard.may_act(asked.request.headers, asked.host, asked.scheme, key, given)

    async def _visitor(self, asked: Asked) -> Visitor | None:
        return await self._door.visitor(cookie_of(asked.request.headers.get("Cookie", "")))

    def _trouble(self, asked: Asked, status: int, why: str) -> web.Response:
        html = self._renderer.page("trouble", why=why, request_id=asked.request_id)
        return web.Response(
            text=html, status=status, content_type="text/html", headers=guard.HEADERS
        )


def _renderer() -> "Renderer":
    from squall_gateway.dashboard.render import Renderer  # a gateway nobody looks at needs no Jinja

    return Renderer(f"{PREFIX}/")


def _query(asked: Asked) -> dict[str, str]:
    try:
        return dict(parse_qsl(asked.query, max_num_fields=FIELDS_AT_MOST))
    except ValueError:
        return {}


async def _form(asked: Asked) -> dict[str, list[str]]:
    """The fields of a form; none of one that is too large or no form."""
    request = asked.request
    if (request.content_length or LONGEST_FORM + 1) > LONGEST_FORM:
        return {}
    found: dict[str, list[str]] = {}
    try:
        body = (await request.content.read(LONGEST_FORM)).decode()
        for name, value in parse_qsl(body, max_num_fields=FIELDS_AT_MOST):
            found.setdefault(name, []).append(value)
    except ValueError:
        return {}
    return found


def _away(to: str) -> web.Response:
    return web.Response(status=303, headers={**guard.HEADERS, "Location": to})


def _plain(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, text=f"{why}\n", headers={**guard.HEADERS, **(headers or {})}
    )
