"""The program's end of a stream: its output out, keys, sizes and signals in, its exit status last."""

import asyncio
from typing import Final

from squall_bus.channels.stream import Stream, StreamOver
from squall_contracts.streams import Ended, Piece, Resized, Signalled, Taken
from squall_contracts.terminals import TIMED_OUT, Screen

from squall_terminals.program import Program

READ_WITHIN_S: Final = 30.0
"""How long the other end may take to read a program's last words."""


async def serve(program: Program, stream: Stream, *, timeout_s: float | None = None) -> int:
    """Until the program has ended, or the other end: then the program is; or after `timeout_s`. Its
    exit status; TIMED_OUT."""
    try:
        async with asyncio.TaskGroup() as group:
            inward = group.create_task(_inward(program, stream))
            late = asyncio.Event()
            ending = group.create_task(_end_late(program, timeout_s, late))
            await _outward(program, stream)
            code = await program.wait()
            inward.cancel()
            ending.cancel()
        if late.is_set():
            code = TIMED_OUT
        stream.end(code)
        async with asyncio.timeout(READ_WITHIN_S):
            await stream.all_read()
    except TimeoutError:
        return code
    finally:
        program.close()
    return code


async def _end_late(program: Program, timeout_s: float | None, late: asyncio.Event) -> None:
    if timeout_s is not None:
        await asyncio.sleep(timeout_s)
        late.set()
        await program.kill()


async def _outward(program: Program, stream: Stream) -> None:
    ended = asyncio.ensure_future(program.wait())
    over = False
    while True:
        channel, data = await program.read()
        if not data:
            break
        if over:
            continue  # nobody reads it, but the program must not wait for that
        try:
            await stream.write(data, channel)
        except StreamOver:
            over = True
    await ended


async def _inward(program: Program, stream: Stream) -> None:
    while True:
        heard = await stream.read()
        match heard:
            case Piece():
                if heard.data:
                    await program.write(heard.data)
                if heard.last:
                    await program.write_eof()
            case Resized():
                if heard.rows > 0 and heard.columns > 0:
                    await program.resize(Screen(heard.rows, heard.columns))
            case Signalled():
                await program.signal(heard.number)
            case Taken():
                continue
            case Ended():
                await program.hang_up()
                return
