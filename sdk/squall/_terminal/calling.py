"""A container's side: asking the person who runs the app for their terminal."""

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from squall_contracts import terminal_subjects
from squall_contracts.message import encode, new_id
from squall_contracts.streams import Ended, Taken
from squall_contracts.terminals import Screen, TerminalCall

from squall import _client, _container
from squall.exception import InvalidError, ResourceExhaustedError, ServiceError

if TYPE_CHECKING:
    from squall_bus.channels.line import Line
    from squall_bus.channels.stream import Stream
    from squall_contracts.guest import Assignment

ANSWER_S: Final = 15.0


class Called(NamedTuple):
    """A person at the other end of a stream."""

    line: "Line"
    stream: "Stream"
    taken: Taken

    @property
    def screen(self) -> Screen | None:
        """The size of their terminal; None: their input is none."""
        return Screen(self.taken.rows, self.taken.columns) if self.taken.rows else None


async def call(purpose: str) -> Called:
    """Reach the person who runs this container's app interactively. On the SDK loop.

    InvalidError: not in a container, or nobody does. ResourceExhaustedError: they talk to another.
    """
    from squall_bus.channels.line import Line

    here = _container.assignment()
    if here is None:
        raise InvalidError("there is no container here to talk to: this works inside functions")
    client = await _client.connected()
    session = new_id("tm")
    line = Line(
        client.bus,
        say=terminal_subjects.terminal_to_client(here.container_id, session),
        hear=terminal_subjects.terminal_to_container(here.container_id, session),
    )
    stream = line.stream(session)
    async with _client.translated():
        await line.open()
        try:
            taken = await _answered(client, stream, here, purpose)
        except BaseException:
            await line.close()
            raise
    return Called(line, stream, taken)


async def _answered(
    client: "_client.Client", stream: "Stream", here: "Assignment", purpose: str
) -> Taken:
    from squall_bus.errors import NoResponder

    question = TerminalCall(container_id=here.container_id, session=stream.session, purpose=purpose)
    asked = client.bus.begin_call(terminal_subjects.terminal_call(here.app_id), encode(question))
    answer = asyncio.ensure_future(stream.read())
    either: list[asyncio.Future[Any]] = [asked, answer]
    try:
        await asyncio.wait(either, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        if asked.done():
            asked.result()
        if not answer.done():
            raise ServiceError(f"no terminal was opened within {ANSWER_S:g} s: try again")
    except NoResponder as error:
        raise InvalidError(
            "nobody is at a terminal: run the app with `squall run --interactive`"
        ) from error
    finally:
        asked.cancel()
        answer.cancel()
    heard = answer.result()
    if not isinstance(heard, Taken):
        reason = heard.reason if isinstance(heard, Ended) else "it answered something else"
        raise ResourceExhaustedError(f"the terminal can't be used: {reason}")
    return heard
