"""Responses that are asked for at another gateway than waits for them: passed on over the bus."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus, Delivery, Subscription
from squall_bus.errors import BusError, NoResponder, RequestTimeout, SquallRefusal
from squall_bus.tasks import Tasks
from squall_bus.webtalk import Shipper, Talk, TalkOver
from squall_contracts import web_subjects
from squall_contracts.failures import Refused
from squall_contracts.message import encode, new_id
from squall_contracts.parked import FETCHED, KEPT, ClaimParked, ClaimReply, ParkedLent
from squall_contracts.web import CHECK_S, WINDOW_BYTES, Alive, Closed, Data, Frame, Frames, Started

from squall_gateway.web.core import Endpoint
from squall_gateway.web.turns import Turn

log = structlog.get_logger()

CLAIM_S: Final = 5.0
_read: Final = msgspec.msgpack.Decoder(Frames).decode


class Borrowed:
    """A turn whose session is another gateway's: used as a Turn is."""

    def __init__(self, endpoint: Endpoint, session: str, lending: "Lending") -> None:
        self.endpoint = endpoint
        self.session = session
        self.owner = ""
        self.talk = Talk(session, lambda frame: lending.send(self.owner, frame))
        self._lending = lending

    @property
    def container_id(self) -> str:
        """Whoever holds it; a turn that waits for a container has none."""
        return self.owner

    async def end(self) -> None:
        """Nobody waits for it any more: its owner cancels it."""
        self._close(Closed(self.session, 1006))

    def finish(self) -> None:
        """All of it is fetched."""
        self._close(Closed(self.session, FETCHED))

    def give_back(self) -> None:
        """Its client will come back for it: nothing of it was taken."""
        self._close(Closed(self.session, KEPT))

    def _close(self, closed: Closed) -> None:
        self.talk.tell(closed)
        self._lending.forget(self.session)


class Lending:
    """Of one gateway: what it lends, and what it borrows."""

    def __init__(self, bus: Bus) -> None:
        """`bus` is in PLATFORM: only gateways speak there of sessions."""
        self._bus = bus
        self._own = new_id("gw")
        self._shipper = Shipper(bus, self._own)
        self._talks: dict[str, Talk] = {}
        self._peers: dict[str, str] = {}
        """The gateway at the other end of each talk; not known yet: missing."""
        self._tasks = Tasks()

    async def open(self) -> None:
        await self._bus.subscribe(web_subjects.lent(self._own), self._hear)
        self._tasks.spawn(self._shipper.ship(), "lent frames")

    async def close(self) -> None:
        await self._tasks.close()

    def send(self, gateway: str, frame: Frame) -> None:
        self._shipper.put(web_subjects.lent(gateway), frame)

    def forget(self, session: str) -> None:
        self._talks.pop(session, None)
        self._peers.pop(session, None)

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

    async def lend(self, turn: Turn, taker: str) -> int:
        """Pass a response on until it is fetched, and say how it ended: FETCHED, KEPT or another code.
        When it is KEPT, or this is cancelled, nothing of it is lost."""
        talk = Talk(turn.session, lambda frame: self.send(taker, frame))
        self._talks[turn.session], self._peers[turn.session] = talk, taker
        passed: list[Started | Data] = []
        helpers = (
            asyncio.create_task(_pass_on(turn.talk, talk, passed)),
            asyncio.create_task(self._watch(taker, talk)),
        )
        code = KEPT
        try:
            code = (await talk.until_closed()).code
        except asyncio.CancelledError:
            talk.tell(Closed(turn.session, 410, "this response is fetched elsewhere"))
            raise
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.wait(helpers)
            self.forget(turn.session)
            if code == KEPT:
                for frame in reversed(passed):
                    turn.talk.put_back(frame)
        return code

    # --- what is borrowed -------------------------------------------------------------------------

    async def borrow(self, session: str, endpoint: Endpoint) -> Borrowed | None:
        """A response that another gateway waits for; None if none does. BusError."""
        turn = Borrowed(endpoint, session, self)
        self._talks[session] = turn.talk
        claim = ClaimParked(session=session, function_id=endpoint.function_id, taker=self._own)
        lent: ParkedLent | Refused | None = None
        try:
            subject = web_subjects.parked(session)
            lent = await self._bus.request(subject, claim, ClaimReply, timeout_s=CLAIM_S)
        except (NoResponder, RequestTimeout) as error:
            log.info("web.not_parked", session=session, error=str(error))
        finally:
            if not isinstance(lent, ParkedLent):
                self.forget(session)
        if not isinstance(lent, ParkedLent):
            return None
        turn.owner = self._peers[session] = lent.owner
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


async def _pass_on(source: Talk, talk: Talk, passed: list[Started | Data]) -> None:
    """All frames of a response. Those in `passed` are to be put back if whoever asked took none."""
    size = 0
    while True:
        frame = await source.take()
        if isinstance(frame, Closed):
            talk.tell(frame)
            return
        if not isinstance(frame, Started | Data):
            continue
        size += len(frame.data)
        passed.append(frame)
        if size > WINDOW_BYTES:  # then some of it has been read
            passed.clear()
        try:
            await talk.say(frame.data, lambda _data, _more, said=frame: said, frame.more)  # type: ignore[misc]
        except TalkOver:
            return
        if not frame.more:
            return
