"""This process itself at the far end of a stream, by a pseudo-terminal it reads and writes."""

import asyncio
import os

from squall_contracts.streams import MAIN
from squall_contracts.terminals import Screen

from squall_terminals.program import END_OF_INPUT, Descriptors, set_size


class Attached:
    """As program.Program, until `detach`."""

    def __init__(self, master: int) -> None:
        """`master`: the other side of this process's standard input and output."""
        self._master = master
        self._io = Descriptors({master: MAIN}, master)
        self._over = asyncio.Event()

    def detach(self) -> None:
        """Nothing more will be written; what was is still read."""
        self._io.read_rest()
        self._over.set()

    async def read(self) -> tuple[int, bytes]:
        return await self._io.read()

    async def write(self, data: bytes) -> None:
        await self._io.write(data)

    async def write_eof(self) -> None:
        await self._io.write(END_OF_INPUT)

    async def resize(self, screen: Screen) -> None:
        set_size(self._master, screen)

    async def signal(self, number: int) -> None:
        """The function goes on: whoever runs the app may stop that."""

    async def wait(self) -> int:
        await self._over.wait()
        return 0

    async def hang_up(self) -> None:
        """The person has gone: reading gives the end of input from now on."""
        await self._io.write(END_OF_INPUT)

    async def kill(self) -> None:
        """As hang_up: this process goes on."""
        await self.hang_up()

    def close(self) -> None:
        self._io.stop()
        os.close(self._master)
