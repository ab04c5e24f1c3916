"""A server with process containers for all lines of a file, and an app that runs all along.

For each file anew: while it is there, the SDK of this process is connected to it.
"""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ..system.conftest import Server, connected_to

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server; the SDK of this process is connected to it, and finds the programs by name."""
    server = Server("process", tmp_path_factory.mktemp("state-parity"))
    server.start("--ephemeral")
    sys.path.insert(0, str(PROGRAMS))
    try:
        with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
            yield server
    finally:
        sys.path.remove(str(PROGRAMS))
        for program in PROGRAMS.glob("*.py"):  # their handles know this server's ids
            sys.modules.pop(program.stem, None)
        server.stop()


@pytest.fixture(scope="module")
def parity(world: Server) -> Iterator[ModuleType]:
    """The program `parity`, its app running."""
    module = importlib.import_module("parity")
    with module.app.run():
        yield module


Program = Callable[[str], ModuleType]


@pytest.fixture
def program(world: Server) -> Iterator[Program]:
    """Import a program and run its app for the length of the test."""
    with contextlib.ExitStack() as running:

        def run(name: str) -> ModuleType:
            module = importlib.import_module(name)
            running.enter_context(module.app.run())
            return module

        yield run


@pytest.fixture
def counted(tmp_path: Path) -> str:
    """A file that functions count their tries in."""
    return str(tmp_path / "tries")
