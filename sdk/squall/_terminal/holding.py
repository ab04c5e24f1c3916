"""What a container of `squall shell` runs: the command, on the person's terminal."""

import os
from pathlib import Path

from squall import _sync
from squall._terminal.calling import call


def hold(argv: tuple[str, ...]) -> int:
    """Run `argv` with this process's environment, talked to by whoever runs the app; its exit
    status. 127: there is no such command."""
    return _sync.run(_hold(argv))


async def _hold(argv: tuple[str, ...]) -> int:
    from squall_terminals.program import LocalProgram
    from squall_terminals.serving import serve

    called = await call("shell")
    env = {**os.environ, "TERM": called.taken.term}
    try:
        program = LocalProgram.start(argv, env=env, cwd=Path.cwd(), screen=called.screen)
    except OSError as error:
        called.stream.end(127, f"{argv[0]}: {error.strerror}")
        await called.line.close()
        return 127
    try:
        return await serve(program, called.stream)
    finally:
        await called.line.close()
