"""The line to the ingresses: frames cross between the NATS thread and the loop of user code."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Final, Protocol

import msgspec
from squall_bus.bus import Bus, Delivery
from squall_bus.channels.webtalk import Shipper, Talk
from squall_bus.errors import BusError, NoResponder, RequestTimeout
from squall_bus.streams.job import Job
from squall_bus.subscriptions import Subscription
from squall_bus.tasks import within
from squall_contracts import subjects, web_subjects
from squall_contracts.guest import Assignment
from squall_contracts.web import (
    CHECK_S,
    Alive,
    Closed,
    Declined,
    Frame,
    Frames,
    Offered,
    WebAnswer,
    WebAsk,
)

from squall_guest.web.offered import OfferedJob

_PATIENCE_S: Final = 5.0
_read: Final = msgspec.msgpack.Decoder(Frames).decode
_log: Final = logging.getLogger("squall.guest")


class Taker(Protocol):
    """Who begins what is offered: squall_guest.session.Session. On the NATS thread."""

    @property
    def room(self) -> int: ...
    def offer(self, job: Job) -> bool: ...


class Line:
    """Open sessions and the frames between them and their ingresses.

    `talk`, `hang_up` and `send` are called on the loop of user code; all else belongs to NATS's.
    """

    def __init__(
        self, bus: Bus, assignment: Assignment, user: asyncio.AbstractEventLoop, desk: Taker
    ) -> None:
        """On the NATS thread. `desk` takes what ingresses offer."""
        self._bus = bus
        self._own = assignment.container_id
        self._environment = assignment.environment
        self._function_id = assignment.function_id
        self._nats = asyncio.get_running_loop()
        self._user = user
        self._talks: dict[str, tuple[Talk, str]] = {}
        self._desk = desk
        self._shipper = Shipper(bus, self._own, lambda: (desk.room, bus.wire.epoch))
        self._hearing: Subscription | None = None
        self._waking = False
        self._active = asyncio.Event()
        """Set while there may be sessions."""
        self._incoming: deque[Frame] = deque()
        self._telling = False

    async def open(self, tasks: asyncio.TaskGroup) -> None:
        """Hear ingresses from now on."""
        subject = web_subjects.web_down(self._environment, self._function_id, self._own)
        self._hearing = await self._bus.subscribe(subject, self._hear)
        self._bus.on_lost(self._on_lost)
        tasks.create_task(self._shipper.ship())
        tasks.create_task(self._check())

    # --- the loop of user code --------------------------------------------------------------------

    def talk(self, session: str, ingress: str) -> Talk:
        """Open our end of a session."""
        made = Talk(session, lambda frame: self.send(ingress, frame))
        self._talks[session] = made, ingress
        return made

    def hang_up(self, session: str) -> None:
        """Forget a session that is over."""
        self._talks.pop(session, None)

    def send(self, ingress: str, frame: Frame) -> None:
        self._shipper.queue(self._up(ingress), frame)
        if not self._waking:
            self._waking = True
            self._nats.call_soon_threadsafe(self._ship)

    def wanted(self, session: str, ingress: str) -> "Future[bool]":
        """Whether a request that was delivered before is still to be run."""
        return asyncio.run_coroutine_threadsafe(self._wanted(session, ingress), self._nats)

    def leave(self) -> "Future[None]":
        """Done once nothing that is sent to us from now on has anybody who hears it, and all that was
        sent by us is on its way."""
        return asyncio.run_coroutine_threadsafe(self._leave(), self._nats)

    def _tell(self) -> None:
        self._telling = False
        while self._incoming:
            frame = self._incoming.popleft()
            known = self._talks.get(frame.session)
            if known is not None:
                known[0].hear(frame)

    def _cut(self, ingress: str | None, reason: str) -> None:
        """Close the sessions of one ingress, or all, from here."""
        for session, (talk, theirs) in list(self._talks.items()):
            if ingress in {None, theirs}:
                self.send(theirs, Closed(session, 502, reason))
                talk.hear(Closed(session, 1006, reason))

    # --- the NATS thread --------------------------------------------------------------------------

    def _hear(self, delivery: Delivery) -> None:
        try:
            frames = _read(delivery.data)
        except msgspec.DecodeError as error:
            _log.error("ignored a message on %s: %s", delivery.subject, error)
            return
        for frame in frames.items:
            if type(frame) is Alive:
                self._shipper.put(self._up(frames.sender), frame)
            elif type(frame) is Offered:
                self._offered(frame, frames.sender)
            else:
                self._incoming.append(frame)
        if self._incoming and not self._telling:
            self._telling = True
            self._user.call_soon_threadsafe(self._tell)

    def _offered(self, frame: Offered, ingress: str) -> None:
        def decline() -> None:
            self._shipper.put(self._up(ingress), Declined(frame.session))

        subject = subjects.call(self._environment, self._function_id, "now", frame.session)
        if not self._desk.offer(OfferedJob(self._bus.wire, subject, frame.data, decline)):
            decline()

    async def _leave(self) -> None:
        if self._hearing is not None:
            await self._hearing.close()
        await self._shipper.flush()

    def _ship(self) -> None:
        self._waking = False
        self._active.set()  # every session begins with a frame of ours
        self._shipper.wake()

    def _up(self, ingress: str) -> str:
        return web_subjects.web_up(self._environment, self._function_id, ingress)

    async def _wanted(self, session: str, ingress: str) -> bool:
        subject = web_subjects.web_ask(self._environment, self._function_id, ingress)
        try:
            ask = WebAsk(session=session)
            answer = await self._bus.request(subject, ask, WebAnswer, timeout_s=_PATIENCE_S)
        except (NoResponder, RequestTimeout):
            return False
        return answer.wanted

    async def _check(self) -> None:
        """Ask, for ever, whether those we speak with still live."""
        while True:
            await self._active.wait()
            await asyncio.sleep(CHECK_S)
            if not self._talks:
                self._active.clear()
            for ingress in {theirs for _, theirs in list(self._talks.values())}:
                subject = web_subjects.web_ask(self._environment, self._function_id, ingress)
                try:
                    await self._bus.request(subject, WebAsk(), WebAnswer, timeout_s=_PATIENCE_S)
                except (NoResponder, RequestTimeout) as error:
                    self._call(partial(self._cut, ingress, "the ingress is gone"))
                    _log.warning("gave up an ingress: %s", error)
                except BusError as error:
                    _log.debug("the ingress could not be asked: %s", error)

    def _on_lost(self) -> None:
        # What was on its way then never comes: no session may go on with a gap in it.
        self._call(lambda: self._cut(None, "the container lost its connection"))

    def _call(self, what: Callable[[], None]) -> None:
        if not self._user.is_closed():
            self._user.call_soon_threadsafe(what)


async def flushed(line: Line, limit_s: float) -> None:
    """Hear no more, and wait, on the loop of user code and not for long, until all is sent."""
    try:
        await within(limit_s, asyncio.wrap_future(line.leave()))
    except TimeoutError:
        _log.warning("some of what web sessions sent is still on its way")
