"""Responses that take longer than a connection should: parked until their clients come back."""

import asyncio
import re
from typing import Final

import structlog
from aiohttp import hdrs, web
from squall_bus.bus import Subscription
from squall_bus.tasks import Tasks
from squall_contracts.parked import FETCHED, KEPT, ClaimParked

from squall_gateway.settings import Settings
from squall_gateway.web.asked import Asked
from squall_gateway.web.bodies import REQUEST_ID
from squall_gateway.web.lending import Lending
from squall_gateway.web.loans import Borrowed, Loan
from squall_gateway.web.turn import Turn

log = structlog.get_logger()

RESULT: Final = "squall-result"
"""The query parameter by which a client comes back for a response that took long."""
_SESSION: Final = re.compile(r"fc-[0-9A-Za-z]{22}")


class Gone(Exception):  # noqa: N818 - the client was late
    """Nobody has the response that a client comes back for."""

    def __init__(self) -> None:
        super().__init__("this response was given up, or fetched before: ask again")


class Parked:
    """A response that is awaited for longer than a connection should be."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.timer: asyncio.TimerHandle | None = None
        """Until it is given up; None while it is passed on to another gateway."""
        self.offer: Subscription | None = None
        self.loan: Loan | None = None


class Parking:
    """Those of one gateway, each of which any gateway can fetch."""

    def __init__(self, settings: Settings, lending: Lending) -> None:
        self._kept_s = settings.web_parked_s
        self._lending = lending
        self._parked: dict[str, Parked] = {}
        self._tasks = Tasks()

    async def park(self, asked: Asked, turn: Turn | Borrowed) -> web.Response:
        """Answer 303: come back at the same address, with a parameter that says for what. BusError."""
        session = turn.session
        if isinstance(turn, Borrowed):
            turn.give_back()
        else:
            parked = Parked(turn)
            parked.offer = await self._lending.offer(session, self._lend)
            self._parked[session] = parked
            self._wait_for_client(parked)
        kept = [each for each in asked.query.split("&") if each and not each.startswith(RESULT)]
        place = "&".join([*kept, f"{RESULT}={session}"])
        headers = {REQUEST_ID: asked.request_id, hdrs.LOCATION: f"{asked.raw_path}?{place}"}
        return web.Response(status=303, headers=headers)

    async def returning(self, asked: Asked) -> Turn | Borrowed | None:
        """The response a client comes back for, whichever gateway has it; None for another request.
        Gone, BusError."""
        session = wanted(asked.query)
        if session is None or asked.found is None or asked.request.method not in {"GET", "HEAD"}:
            return None
        endpoint = asked.found.endpoint
        parked = await self._free(session, endpoint.function_id)
        if parked is not None:
            try:
                await self._remove(parked)
            except BaseException:  # its client is gone meanwhile
                await parked.turn.end()
                raise
            return parked.turn
        borrowed = await self._lending.borrow(session, endpoint)
        if borrowed is None:
            raise Gone
        return borrowed

    async def _free(self, session: str, function_id: str) -> Parked | None:
        """What is parked, taken from whichever gateway it is passed on to; None if it isn't here, or
        is being answered with."""
        while True:
            parked = self._parked.get(session)
            if parked is None or parked.turn.endpoint.function_id != function_id:
                return None
            if parked.loan is None:
                if parked.timer is not None:
                    parked.timer.cancel()
                return parked
            if not await parked.loan.recall():
                return None

    async def _lend(self, claim: ClaimParked) -> bool:
        parked = await self._free(claim.session, claim.function_id)
        if parked is None:
            return False
        parked.loan = self._lending.lend(parked.turn, claim)
        self._tasks.spawn(self._pass_on(parked, parked.loan, claim), "lending a response")
        return True

    async def _pass_on(self, parked: Parked, loan: Loan, claim: ClaimParked) -> None:
        try:
            code = await self._lending.pass_on(loan, claim)
        finally:
            parked.loan = None
        if code == KEPT:
            self._wait_for_client(parked)
            return
        await self._remove(parked)
        if code == FETCHED:
            parked.turn.finish()
        else:
            await parked.turn.end()

    def _wait_for_client(self, parked: Parked) -> None:
        loop = asyncio.get_running_loop()
        parked.timer = loop.call_later(self._kept_s, self._forget, parked)

    def _forget(self, parked: Parked) -> None:
        self._tasks.spawn(self._end(parked), "ending a request nobody came back for")

    async def _end(self, parked: Parked) -> None:
        await self._remove(parked)
        await parked.turn.end()

    async def _remove(self, parked: Parked) -> None:
        self._parked.pop(parked.turn.session, None)
        if parked.offer is not None:
            await parked.offer.close()

    async def close(self) -> None:
        """End those nobody came back for."""
        for parked in list(self._parked.values()):
            if parked.timer is not None:
                parked.timer.cancel()
            await self._end(parked)
        await self._tasks.close()


def wanted(query: str) -> str | None:
    """The session in a request's query; None for a request of the app's own."""
    for each in query.split("&"):
        name, _, value = each.partition("=")
        if name == RESULT and _SESSION.fullmatch(value):
            return value
    return None
