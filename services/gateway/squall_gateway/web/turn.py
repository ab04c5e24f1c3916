"""One request or WebSocket, as the gateway has it."""

from typing import TYPE_CHECKING

from squall_bus.channels.webtalk import Talk
from squall_contracts.web import Frame, Taken

from squall_gateway.web.core import Endpoint

if TYPE_CHECKING:
    from squall_gateway.web.turns import WorkspaceLine
    from squall_gateway.web.warm import Offer


class Turn:
    """One request or WebSocket: from its head to the end of its session."""

    def __init__(self, endpoint: Endpoint, session: str, line: "WorkspaceLine") -> None:
        self.endpoint = endpoint
        self.session = session
        self.container_id: str | None = None
        """Who took it up; None while nobody has."""
        self.is_gone = False
        """Nobody took it up before its function's app was stopped."""
        self.offer: Offer | None = None
        """To whom it is offered unstored, until that container has said something of it."""
        self.talk = Talk(session, self._send)
        self._line = line
        self._early: list[Frame] = []

    def _send(self, frame: Frame) -> None:
        if self.container_id is None:
            self._early.append(frame)  # at most a window of data
        else:
            self._line.send(self.endpoint, self.container_id, frame)

    def hear(self, frame: Frame, sender: str) -> None:
        if self.container_id is None:
            self.container_id = sender
            for early in self._early:
                self._line.send(self.endpoint, sender, early)
            self._early.clear()
        if type(frame) is not Taken and sender == self.container_id:
            self.talk.hear(frame)

    async def end(self) -> None:
        """Nobody waits for it any more: if it is not over, it is cancelled."""
        await self._line.end(self)

    def finish(self) -> None:
        """Its guest has said the last word: forget it."""
        self._line.finish(self)

    def give_up(self, why: str) -> None:
        """It was offered, and whether it was begun can't be known: answer 502."""
        self._line.give_up(self, why)
