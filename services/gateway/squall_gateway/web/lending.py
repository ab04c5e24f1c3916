"""Responses that are asked for at another gateway than waits for them: passed on over the bus."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus, Delivery, Subscription
from squall_bus.channels.webtalk import Shipper, Talk
from squall_bus.errors import BusError, NoResponder, RequestTimeout, SquallRefusal
from squall_bus.tasks import Tasks
from squall_contracts import web_subjects
from squall_contracts.failures import Refused
from squall_contracts.message import encode, new_id
from squall_contracts.parked import ClaimParked, ClaimReply, ParkedLent
from squall_contracts.web import CHECK_S, Alive, Closed, Frame, Frames

from squall_gateway.web.core import Endpoint
from squall_gateway.web.loans import Borrowed, Loan
from squall_gateway.web.turn import Turn

log = structlog.get_logger()

CLAIM_S: Final = 5.0
_read: Final = msgspec.msgpack.Decoder(Frames).decode


class Lending:
    """Of one gateway: what it lends, and what it borrows."""

    def __init__(self, bus: Bus) -> None:
        """`bus` is in PLATFORM: only gateways speak there of sessions."""
        self._bus = bus
        self._own = new_id("gw")
        self._shipper = Shipper(bus, self._own)
        self._talks: dict[str, Talk] = {}
        """By loan: a session may be lent many times, to the same gateway too."""
        self._peers: dict[str, str] = {}
        """The gateway at the other end of each talk; not known yet: missing."""
        self._lent: dict[str, Loan] = {}
        self._tasks = Tasks()

    async def open(self) -> None:
        await self._bus.subscribe(web_subjects.lent(self._own), self._hear)
        self._bus.on_lost(self._on_lost)
        self._tasks.spawn(self._shipper.ship(), "lent frames")

    async def close(self) -> None:
        await self._tasks.close()

    def _send(self, gateway: str, frame: Frame) -> None:
        self._shipper.put(web_subjects.lent(gateway), frame)

    def _forget(self, loan: str) -> None:
        self._talks.pop(loan, None)
        self._peers.pop(loan, None)
        self._lent.pop(loan, None)

    def _hear(self, delivery: Delivery) -> None:
        try:
            frames = _read(delivery.data)
        except msgspec.DecodeError as error:
            log.warning("web.undecodable", subject=delivery.subject, error=str(error))
            return
        for frame in frames.items:
            talk = self._talks.get(frame.session)
            if talk is not None and self._peers.get(frame.session, frames.sender) == frames.sender:
                talk.hear(frame)

    def _on_lost(self) -> None:
        # What was on its way then never comes: no response may go on with a gap in it.
        for name, talk in list(self._talks.items()):
            loan = self._lent.get(name)
            if loan is not None:
                loan.cut()
            else:
                talk.tell(Closed(name, 1006))
                talk.hear(Closed(name, 502, "the connection was lost"))

    # --- what is lent -----------------------------------------------------------------------------

    async def offer(
        self, session: str, lend: Callable[[ClaimParked], Awaitable[bool]]
    ) -> Subscription:
        """Answer other gateways that ask for a response. `lend(claim)` begins to pass it on; False:
        it isn't there, or of another function. BusError."""

        async def claimed(_subject: str, claim: ClaimParked) -> ParkedLent:
            if not await lend(claim):
                raise SquallRefusal("not_found", f"nothing is parked as {session}")
            return ParkedLent(owner=self._own)

        return await self._bus.respond(web_subjects.parked(session), ClaimParked, claimed)

    def lend(self, turn: Turn, claim: ClaimParked) -> Loan:
        """Promise a response to whoever claims it; `pass_on` must follow."""
        name = claim.loan or turn.session
        talk = Talk(name, lambda frame: self._send(claim.taker, frame))
        loan = Loan(turn, talk)
        self._talks[name], self._peers[name], self._lent[name] = talk, claim.taker, loan
        return loan

    async def pass_on(self, loan: Loan, claim: ClaimParked) -> int:
        """As Loan.run."""
        name = claim.loan or claim.session
        try:
            return await loan.run(self._watch(claim.taker, self._talks[name]))
        finally:
            self._forget(name)

    # --- what is borrowed -------------------------------------------------------------------------

    async def borrow(self, session: str, endpoint: Endpoint) -> Borrowed | None:
        """A response that another gateway waits for; None if none does. BusError."""
        name = new_id("ln")
        turn = Borrowed(endpoint, session, name, send=self._send, forget=self._forget)
        self._talks[name] = turn.talk
        claim = ClaimParked(
            session=session, function_id=endpoint.function_id, taker=self._own, loan=name
        )
        lent: ParkedLent | Refused | None = None
        try:
            await self._shipper.flush()  # what was said of it before is heard before
            subject = web_subjects.parked(session)
            lent = await self._bus.request(subject, claim, ClaimReply, timeout_s=CLAIM_S)
        except (NoResponder, RequestTimeout) as error:
            log.info("web.not_parked", session=session, error=str(error))
        finally:
            if not isinstance(lent, ParkedLent):
                self._forget(name)
        if not isinstance(lent, ParkedLent):
            return None
        turn.owner = self._peers[name] = lent.owner
        self._tasks.spawn(self._watch(lent.owner, turn.talk), "watching a lender")
        return turn

    async def _watch(self, gateway: str, talk: Talk) -> None:
        """Close a talk whose other end is gone."""
        question = encode(Frames(self._own, (Alive(),)))
        while self._talks.get(talk.session) is talk and talk.closed is None:
            await asyncio.sleep(CHECK_S)
            try:
                await self._bus.call(web_subjects.lent(gateway), question, timeout_s=CHECK_S / 2)
            except NoResponder:
                talk.hear(Closed(talk.session, 502, "the other gateway is gone"))
            except RequestTimeout:
                continue  # it hears, and has nothing to say to this
            except BusError as error:
                log.info("web.check_failed", gateway=gateway, error=str(error))
