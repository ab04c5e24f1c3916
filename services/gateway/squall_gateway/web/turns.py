"""One workspace's requests: inputs of their functions, then sessions with the guests that take them up."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
import structlog
from squall_bus.bus import Bus, Delivery
from squall_bus.channels.webtalk import Shipper
from squall_bus.errors import BusError, NoResponder, RequestTimeout, StoreTimeout
from squall_bus.tasks import Tasks
from squall_contracts import subjects, web_subjects
from squall_contracts.calls import CancelInputs, Input, Inputs, Raised, Results
from squall_contracts.failures import FailureKind
from squall_contracts.message import encode, new_id
from squall_contracts.web import (
    CHECK_S,
    Alive,
    Closed,
    Declined,
    Frame,
    Frames,
    Taken,
    WebAnswer,
    WebAsk,
    WebHead,
)

from squall_gateway.tracing import carried
from squall_gateway.web.core import Endpoint
from squall_gateway.web.hints import Hints
from squall_gateway.web.turn import Turn
from squall_gateway.web.warm import Warm

log = structlog.get_logger()

SILENCE_S: Final = 10.0
"""A container that says nothing for so long, though asked, is given up."""
_read_frames: Final = msgspec.msgpack.Decoder(Frames).decode
_read_results: Final = msgspec.msgpack.Decoder(Results).decode
_STATUS: Final[dict[FailureKind, int]] = {
    "timeout": 504,
    "cancelled": 503,
    "startup": 502,
    "container_lost": 502,
}


class WorkspaceLine:
    """The turns of one workspace."""

    def __init__(self, own: str, bus: Bus) -> None:
        self._own = own
        self._bus = bus
        self._shipper = Shipper(bus, own)
        self._turns: dict[str, Turn] = {}
        self._heard_s: dict[str, float] = {}
        """When each container with turns was last heard, on the loop's clock."""
        self._hints = Hints(bus)
        self._warm = Warm(own, bus, self._store_offered)
        self._active = asyncio.Event()
        """Set while there may be turns."""
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()

    @property
    def bus(self) -> Bus:
        return self._bus

    async def open(self) -> None:
        """Hear guests, and what becomes of inputs nobody takes up."""
        frames, asks = web_subjects.web_of(self._own)
        await self._bus.subscribe(frames, self._hear)
        await self._bus.respond(asks, WebAsk, self._answer)
        await self._bus.subscribe(subjects.replies_to_anywhere(self._own), self._hear_results)
        self._bus.on_lost(self._on_lost)
        self._tasks.spawn(self._shipper.ship(), "web frames")
        self._tasks.spawn(self._check(), "web check")

    async def close(self) -> None:
        """Break off what is still open."""
        for turn in list(self._turns.values()):
            turn.talk.hear(Closed(turn.session, 1012, "the server ends"))
        self._warm.close()
        await self._tasks.close()

    # --- turns ------------------------------------------------------------------------------------

    async def begin(self, endpoint: Endpoint, make_head: Callable[[str, str], WebHead]) -> Turn:
        """Send a request on its way. `make_head(ingress, session)`. BusError when it can't be."""
        call_id = new_id("fc")
        turn = Turn(endpoint, call_id, self)
        self._turns[call_id] = turn
        self._active.set()
        payload = encode(make_head(self._own, call_id))
        inputs = Inputs(
            call_id,
            subjects.reply(endpoint.environment, self._own, call_id),
            (Input(0, payload),),
            method=endpoint.method,
            trace=carried.get(),
        )
        data = encode(inputs)
        if self._warm.offer(turn, data):
            return turn
        on_stored = partial(_stored, turn)
        try:
            await self._bus.store_soon(_subject(turn), data, on_stored=on_stored)
            self._hints.tell(endpoint.function_id)
        except BaseException:
            self._turns.pop(call_id, None)
            raise
        return turn

    def _store_offered(self, turn: Turn) -> None:
        """Nobody has begun what was offered: it waits for a container like any other."""
        data = self._warm.over(turn)
        outcome: BusError = StoreTimeout(_subject(turn), 0.0)
        try:
            if self._bus.store_now(_subject(turn), data, on_stored=partial(_stored, turn)):
                self._hints.tell(turn.endpoint.function_id)
                return
        except BusError as error:
            outcome = error
        _stored(turn, outcome)

    def give_up(self, turn: Turn, why: str) -> None:
        """Forget a turn whose offer may have been begun or not, and say so to its client."""
        self._warm.over(turn)
        self._turns.pop(turn.session, None)
        turn.talk.hear(Closed(turn.session, 502, why))

    async def end(self, turn: Turn) -> None:
        if self._turns.pop(turn.session, None) is None or turn.talk.closed is not None:
            return
        was_offered = turn.offer is not None
        if was_offered:
            self._warm.over(turn)
        if turn.container_id is not None:
            self.send(turn.endpoint, turn.container_id, Closed(turn.session, 1006))
            return
        where = turn.endpoint
        if not was_offered:
            await self._bus.admin.purge(subjects.CALLS, subjects.calls_of(turn.session)[0])
        news = CancelInputs(call_id=turn.session)
        await self._bus.publish(subjects.cancel(where.environment, where.function_id), news)

    def finish(self, turn: Turn) -> None:
        """Forget a turn whose guest has said its last word."""
        self._turns.pop(turn.session, None)

    def send(self, endpoint: Endpoint, container_id: str, frame: Frame) -> None:
        self._shipper.put(_down(endpoint, container_id), frame)

    # --- what comes -------------------------------------------------------------------------------

    def _hear(self, delivery: Delivery) -> None:
        try:
            frames = _read_frames(delivery.data)
            down = _down_of(delivery.subject, frames.sender)
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("web.undecodable", subject=delivery.subject, error=str(error))
            return
        function_id = web_subjects.web_speaker(delivery.subject)
        self._heard_s[frames.sender] = self._loop.time()
        for frame in frames.items:
            turn = self._turns.get(frame.session)
            if turn is not None and turn.endpoint.function_id == function_id:
                self._hear_of(turn, frame, frames.sender)
            elif type(frame) is Taken:  # too late: nobody waits any more
                self._shipper.put(down, Closed(frame.session, 1006))
        self._warm.told(function_id, down, frames)

    def _hear_of(self, turn: Turn, frame: Frame, sender: str) -> None:
        if turn.offer is not None and turn.offer.room.container_id == sender:
            if type(frame) is Declined:
                self._store_offered(turn)
                return
            self._warm.over(turn)
        if type(frame) is not Declined:
            turn.hear(frame, sender)
        elif sender == turn.container_id:  # begun, and given up: nobody may begin it again
            turn.hear(Closed(turn.session, 502, "the container was lost"), sender)

    async def _answer(self, subject: str, ask: WebAsk) -> WebAnswer:
        if not ask.session:
            return WebAnswer(wanted=True)
        turn = self._turns.get(ask.session)
        wanted = (
            turn is not None
            and turn.container_id is None
            and turn.endpoint.function_id == web_subjects.web_speaker(subject)
        )
        if turn is not None and not wanted and turn.talk.closed is None:
            # It is delivered again: whoever took it up is gone.
            turn.talk.hear(Closed(turn.session, 502, "the container was lost"))
        return WebAnswer(wanted=wanted)

    def _hear_results(self, delivery: Delivery) -> None:
        try:
            results = _read_results(delivery.data)
        except msgspec.DecodeError as error:
            log.warning("web.undecodable", subject=delivery.subject, error=str(error))
            return
        turn = self._turns.get(results.call_id)
        for report in results.items if turn is not None else ():
            if isinstance(report, Raised):
                failure = report.failure
                log.warning("web.failed", session=results.call_id, why=failure.message)
                status = _STATUS.get(failure.kind, 500)
                assert turn is not None
                turn.is_gone = failure.exception_type == "NotFoundError"
                turn.talk.hear(Closed(turn.session, status, _PUBLIC.get(failure.kind, "")))

    # --- who lives --------------------------------------------------------------------------------

    async def _check(self) -> None:
        """Ask, for ever, whether the containers of open turns still live."""
        while True:
            await self._active.wait()
            await asyncio.sleep(CHECK_S)
            if not self._turns:
                self._active.clear()
            holders = {
                turn.container_id: _down(turn.endpoint, turn.container_id)
                for turn in list(self._turns.values())
                if turn.container_id is not None
            } | self._warm.holders()
            self._heard_s = {each: at for each, at in self._heard_s.items() if each in holders}
            async with asyncio.TaskGroup() as group:
                for container_id, down in holders.items():
                    group.create_task(self._ask(down, container_id))

    async def _ask(self, down: str, container_id: str) -> None:
        question = encode(Frames(self._own, (Alive(),)))
        try:
            # A container answers with a frame; this waits for the server's word that nobody hears.
            await self._bus.call(down, question, timeout_s=CHECK_S / 2)
        except NoResponder:
            self._lose(container_id)
        except RequestTimeout:
            if self._loop.time() - self._heard_s.get(container_id, 0.0) > SILENCE_S:
                self._lose(container_id)
        except BusError as error:
            log.info("web.check_failed", container_id=container_id, error=str(error))

    def _lose(self, container_id: str) -> None:
        lost = [each for each in self._turns.values() if each.container_id == container_id]
        log.warning("web.container_lost", container_id=container_id, turns=len(lost))
        for turn in lost:
            turn.talk.hear(Closed(turn.session, 502, "the container was lost"))
        self._warm.doubt(container_id, "the container was lost")

    def _on_lost(self) -> None:
        # What was on its way then never comes: no session may go on with a gap in it.
        for turn in list(self._turns.values()):
            if turn.container_id is not None:
                turn.talk.tell(Closed(turn.session, 1006, "the connection was lost"))
                turn.talk.hear(Closed(turn.session, 502, "the connection was lost"))
        self._warm.doubt(None, "the connection was lost")


_PUBLIC: Final[dict[FailureKind, str]] = {
    "timeout": "the function ran out of time",
    "cancelled": "the app was stopped",
    "startup": "no container of the function could be made ready",
    "container_lost": "the container was lost",
}


def _subject(turn: Turn) -> str:
    where = turn.endpoint
    return subjects.call(where.environment, where.function_id, "now", turn.session)


def _stored(turn: Turn, outcome: int | BusError) -> None:
    if isinstance(outcome, BusError):
        log.warning("web.not_stored", session=turn.session, error=str(outcome))
        turn.talk.hear(Closed(turn.session, 503, "the request could not be stored"))


def _down_of(up: str, container_id: str) -> str:
    """Where a container hears that speaks on `up`. ValueError for what is no container's name."""
    _, _, environment, function_id, _ = up.split(".")
    return web_subjects.web_down(environment, function_id, container_id)


def _down(endpoint: Endpoint, container_id: str) -> str:
    return web_subjects.web_down(endpoint.environment, endpoint.function_id, container_id)
