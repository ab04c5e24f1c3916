"""A command in a running container, run by the container's machine and talked to from here."""

from typing import TYPE_CHECKING

from squall_contracts import terminal_subjects
from squall_contracts.message import new_id
from squall_contracts.streams import Ended
from squall_contracts.terminals import OpenTerminal

from squall._client import translated

if TYPE_CHECKING:
    from squall._client import Client
    from squall._terminal.keyboard import Keyboard


async def visit(
    client: "Client", container_id: str, argv: tuple[str, ...], keyboard: "Keyboard"
) -> Ended:
    """Run `argv`, with the person's keys and screen; how it ended. On the SDK loop.

    NotFoundError: the container does not run. InvalidError: the command can't be run.
    """
    from squall_bus.channels.line import Line

    session = new_id("tm")
    line = Line(
        client.bus,
        say=terminal_subjects.terminal_to_runner(session),
        hear=terminal_subjects.terminal_heard_by_client(session),
    )
    stream = line.stream(session)
    async with translated():
        await line.open()
        try:
            await client.control(
                OpenTerminal(
                    container_id=container_id,
                    session=session,
                    argv=argv,
                    screen=keyboard.screen,
                    term=keyboard.term,
                )
            )
            return await keyboard.talk(stream)
        finally:
            stream.end()
            await line.close()
