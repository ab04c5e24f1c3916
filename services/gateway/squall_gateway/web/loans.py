"""The two ends of a response that one gateway passes on to another: lent by one, borrowed by the other."""

import asyncio
from collections.abc import Awaitable, Callable

from squall_bus.channels.webtalk import Talk, TalkOver
from squall_contracts.parked import FETCHED, KEPT
from squall_contracts.web import (
    CHUNK_BYTES,
    WINDOW_BYTES,
    Closed,
    Data,
    Frame,
    Started,
    Taken,
)

from squall_gateway.web.core import Endpoint
from squall_gateway.web.turn import Turn

Forget = Callable[[str], None]


class Borrowed:
    """A turn whose session is another gateway's: used as a Turn is."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: str,
        loan: str,
        *,
        send: Callable[[str, Frame], None],
        forget: Forget,
    ) -> None:
        """`send(owner, frame)` passes a frame on, `forget(loan)` is called when it is over."""
        self.endpoint = endpoint
        self.session = session
        self.owner = ""
        self.talk = Talk(loan, lambda frame: send(self.owner, frame))
        self._forget = forget

    @property
    def container_id(self) -> str:
        """Whoever holds it; a turn that waits for a container has none."""
        return self.owner

    def begin(self) -> None:
        """Its client is being answered: nobody else may have it any more."""
        self.talk.tell(Taken(self.talk.session))

    async def end(self) -> None:
        """Nobody waits for it any more: its owner cancels it."""
        self._close(1006)

    def finish(self) -> None:
        """All of it is fetched."""
        self._close(FETCHED)

    def give_back(self) -> None:
        """Its client will come back for it: nothing of it was taken."""
        self._close(KEPT)

    def _close(self, code: int) -> None:
        self.talk.tell(Closed(self.talk.session, code))
        self._forget(self.talk.session)


class Loan:
    """A response on its way to another gateway."""

    def __init__(self, turn: Turn, talk: Talk) -> None:
        """`talk` is with whoever asked for it."""
        self.is_begun = False
        """Whether its client is being answered: then nobody else can have it."""
        self._turn = turn
        self._talk = talk
        self._passed: list[Started | Data] = []
        self._over = asyncio.Event()
        """Set once `_code` says whose the response is now."""
        self._code = 0

    async def recall(self) -> bool:
        """Have it back. False: it is being answered with, or is over."""
        if self.is_begun:
            return False
        if self._talk.closed is None:
            self._talk.tell(Closed(self._talk.session, 410, "this response is fetched elsewhere"))
            self._talk.hear(Closed(self._talk.session, KEPT))
        await self._over.wait()
        return self._code == KEPT

    def cut(self) -> None:
        """What was on its way to the other gateway never comes there."""
        self._talk.tell(Closed(self._talk.session, 502, "the connection was lost"))
        self._talk.hear(Closed(self._talk.session, 1006 if self.is_begun else KEPT))

    async def run(self, watch: Awaitable[None]) -> int:
        """Pass it on until it is fetched, and say how that ended: FETCHED, KEPT or another code.
        When it is KEPT nothing of it is lost. `watch` closes the talk when its other end is gone."""
        helpers = (asyncio.create_task(self._pass_on()), asyncio.ensure_future(watch))
        try:
            self.is_begun = isinstance(await self._talk.take(), Taken)
            self._code = (await self._talk.until_closed()).code
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.wait(helpers)
            self._over.set()
        if self._code == KEPT:
            for frame in reversed(self._passed):
                self._turn.talk.put_back(frame)
        return self._code

    async def _pass_on(self) -> None:
        """All frames of it. Those in `_passed` are put back if whoever asked took none."""
        size = 0
        frame: Frame = Taken(self._turn.session)
        while not isinstance(frame, Started | Data) or frame.more:
            frame = await self._turn.talk.take()
            if isinstance(frame, Closed):
                self._talk.tell(Closed(self._talk.session, frame.code, frame.reason))
                return
            if not isinstance(frame, Started | Data):
                continue
            self._passed.append(frame)
            try:
                await self._talk.say(
                    frame.data, _readdressed(frame, self._talk.session), frame.more
                )
            except TalkOver:
                return
            size += len(frame.data)
            if size >= WINDOW_BYTES + CHUNK_BYTES:  # there was room for it: some has been read
                self._passed.clear()


def _readdressed(frame: Started | Data, loan: str) -> Callable[[bytes, bool], Frame]:
    def made(data: bytes, more: bool) -> Frame:
        if isinstance(frame, Started):
            return Started(loan, frame.status, frame.headers, data, more)
        return Data(loan, data, more)

    return made
