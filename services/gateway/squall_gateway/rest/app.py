"""The REST API: from a request to the handler its route names, and back."""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web
from squall_bus.errors import BusError, SquallRefusal
from squall_bus.service import Context
from squall_contracts import apps, autoscaling, breakers, verbs

from squall_gateway.access.tokens import AccessTokens
from squall_gateway.handlers import Api
from squall_gateway.rest import asking, lookup, openapi, routes, streaming, words
from squall_gateway.rest.access import caller
from squall_gateway.rest.asking import Ask
from squall_gateway.rest.calling import Calls
from squall_gateway.rest.letters import Letters
from squall_gateway.rest.lines import Lines
from squall_gateway.rest.problems import REFUSALS, ProblemError, response
from squall_gateway.settings import Settings
from squall_gateway.web.asked import Asked

log = structlog.get_logger()

Handler = Callable[[Ask], Awaitable[object]]
DOCUMENT: Final = msgspec.json.encode(openapi.document())


class Rest:
    """Answers what is asked below `/v1`."""

    def __init__(self, settings: Settings, context: Context, api: Api, users: AccessTokens) -> None:
        self._users = users
        self._settings = settings
        self._context = context
        self._api = api
        self._lines = Lines(context)
        self._calls = Calls(api, self._lines, settings.web_request_wait_s)
        letters = Letters(api, self._lines)
        self._handlers: dict[str, Handler] = {
            "health": self._health,
            "ready": self._ready,
            "openapi": self._openapi,
            "apps": self._apps,
            "functions": self._functions,
            "function": self._function,
            "stats": self._stats,
            "call": self._calls.call,
            "get_call": self._get_call,
            "stream_call": self._stream_call,
            "cancel_call": self._cancel_call,
            "letters": letters.list,
            "purge_letters": letters.purge_all,
            "get_letter": letters.get,
            "purge_letter": letters.purge,
            "retry_letter": letters.retry,
        }

    async def handle(self, asked: Asked) -> web.StreamResponse:
        """Answer one request."""
        try:
            return await self._answer(asked)
        except ProblemError as problem:
            return response(problem, asked.request_id)
        except SquallRefusal as refused:
            status = REFUSALS.get(refused.kind, 500)
            return response(ProblemError(status, str(refused)), asked.request_id)
        except BusError as error:
            log.warning("rest.bus_failed", request_id=asked.request_id, error=str(error))
            away = ProblemError(503, "the server can't take requests just now")
            return response(away, asked.request_id)
        except Exception:
            log.exception("rest.failed", request_id=asked.request_id)
            return response(ProblemError(500, "a fault of the server"), asked.request_id)

    async def _answer(self, asked: Asked) -> web.StreamResponse:
        method = asked.request.method
        matched = routes.find(method, asked.raw_path.removeprefix(routes.PREFIX))
        if not isinstance(matched, routes.Matched):
            if not matched:
                raise ProblemError(404, f"nothing is at {asked.raw_path}: see /v1/openapi.json")
            allow = {"Allow": ", ".join(matched)}
            raise ProblemError(405, f"use {' or '.join(matched)}", headers=allow)
        who = None
        if not matched.route.is_open:
            who = await caller(self._context.bus, self._users, asked.headers)
        ask = await asking.read(
            asked,
            matched,
            who,
            self._settings.rest_max_body_bytes,
            self._settings.web_client_patience_s,
        )
        return asking.response(await self._handlers[matched.route.operation](ask), ask)

    async def close(self) -> None:
        await self._calls.close()

    # --- the server -------------------------------------------------------------------------------

    async def _health(self, _ask: Ask) -> words.Health:
        return words.Health(version=version("squall"))

    async def _ready(self, _ask: Ask) -> words.Ready:
        if self._context.stopping.is_set():
            raise ProblemError(503, "this server ends")
        if not self._context.bus.is_connected:
            raise ProblemError(503, "this server has no connection to the bus")
        return words.Ready()

    async def _openapi(self, _ask: Ask) -> bytes:
        return DOCUMENT

    # --- apps and functions -----------------------------------------------------------------------

    async def _apps(self, ask: Ask) -> words.AppsReply:
        asked = apps.ListApps(environment=ask.environment)
        found: apps.AppList = await self._api.ask(ask.account, verbs.LIST_APPS, asked)
        return words.AppsReply(apps=found.apps)

    async def _functions(self, ask: Ask) -> words.FunctionsReply:
        asked = breakers.ListFunctions(environment=ask.environment)
        found: breakers.FunctionList = await self._api.ask(ask.account, verbs.LIST_FUNCTIONS, asked)
        return words.FunctionsReply(functions=found.functions)

    async def _found(self, ask: Ask) -> apps.FoundFunction:
        asked = apps.FindFunction(
            environment=ask.environment, app=ask.path["app"], name=ask.path["function"]
        )
        found: apps.FoundFunction = await self._api.ask(ask.account, verbs.FIND_FUNCTION, asked)
        return found

    async def _function(self, ask: Ask) -> words.FunctionReply:
        found = await self._found(ask)
        return words.FunctionReply(
            function_id=found.function_id,
            app_id=found.app_id,
            environment=found.environment,
            version=found.version,
            is_generator=found.is_generator,
            methods=tuple(each.name for each in found.methods),
            parameters=tuple(
                words.Parameter(name=each.name, kind=each.kind, required=each.default is None)
                for each in found.parameters
            ),
            web_urls=found.web_urls,
        )

    async def _stats(self, ask: Ask) -> words.StatsReply:
        asked = autoscaling.GetFunctionStats(function_id=(await self._found(ask)).function_id)
        now: Any = await self._api.ask(ask.account, verbs.FUNCTION_STATS, asked)
        return words.StatsReply(
            backlog=now.backlog,
            running=now.running,
            containers=now.containers,
            headroom=now.headroom,
        )

    # --- calls ------------------------------------------------------------------------------------

    async def _get_call(self, ask: Ask) -> words.Call:
        bus = (await self._lines.get(ask.account)).bus
        call_id = known_call(ask)
        return await lookup.look(bus, ask.environment, call_id, int(ask.given.get("index", 0)))

    async def _stream_call(self, ask: Ask) -> web.StreamResponse:
        known_call(ask)
        return await streaming.stream(ask, (await self._lines.get(ask.account)).bus)

    async def _cancel_call(self, ask: Ask) -> None:
        bus = (await self._lines.get(ask.account)).bus
        call_id = known_call(ask)
        if (await lookup.look(bus, ask.environment, call_id)).state in OVER:
            return
        asked = apps.CancelCall(call_id=call_id, environment=ask.environment)
        await self._api.ask(ask.account, verbs.CANCEL_CALL, asked)


OVER: Final = frozenset(("succeeded", "failed", "cancelled"))


def known_call(ask: Ask) -> str:
    """The id of a call in a request's path. ProblemError 404 for what can be none."""
    call_id = ask.path["call_id"]
    if (
        not call_id.startswith("fc-")
        or not call_id[3:].replace("_", "").isalnum()
        or not call_id.isascii()
    ):
        raise lookup.unknown(ask.environment, call_id)
    return call_id
