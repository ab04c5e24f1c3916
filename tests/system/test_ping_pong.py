"""Scenario 1: define, run locally, call remotely."""

import asyncio
import importlib.util

import pytest
import squall

from tests.system.conftest import PROGRAMS, Program


def test_local_calls_need_nothing_running_and_remote_ones_say_what_to_do() -> None:
    spec = importlib.util.spec_from_file_location("ping_pong_alone", PROGRAMS / "ping_pong.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.square.local(5) == 25
    assert module.square(5) == 25
    with pytest.raises(squall.exception.ExecutionError, match="run"):
        module.square.remote(5)


def test_remote_calls_return_what_local_ones_would(program: Program) -> None:
    app = program("ping_pong")
    assert app.square.remote(5) == 25
    assert list(app.square.map(range(10))) == [x * x for x in range(10)]
    assert app.hello.remote("MiniModal") == "Hello, MiniModal!"
    assert app.fibonacci.remote(10) == 55


def test_a_function_can_map_over_another_from_inside_its_container(program: Program) -> None:
    assert program("ping_pong").sum_squares.remote([1, 2, 3, 4, 5]) == 55


def test_the_async_form_gives_the_same(program: Program) -> None:
    app = program("ping_pong")

    async def main() -> None:
        assert await app.square.remote.aio(6) == 36
        assert [x async for x in app.square.map.aio(range(4))] == [0, 1, 4, 9]

    asyncio.run(main())
