"""Deploying again: what runs is finished, what comes goes to the new code, and there is a way back."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import squall
from squall import _client, _sync
from squall._console.logs import follow
from squall_contracts import subjects
from squall_contracts.apps import AppHistory, ListContainers, RollbackApp
from squall_contracts.placement import ENDED, ContainerRecord

from .conftest import PROGRAMS, Server, connected_to, load_file

DEADLINE_S = 60.0
Load = Callable[[int], ModuleType]


@pytest.fixture
def version(server: Server, tmp_path: Path) -> Iterator[Load]:
    """`version(n)`: the program as its author left it the n-th time. Its app is stopped at the end."""
    loaded: list[ModuleType] = []

    def load(number: int) -> ModuleType:
        text = (
            (PROGRAMS / "redeployed.py").read_text().replace("VERSION = 1", f"VERSION = {number}")
        )
        path = tmp_path / "redeployed.py"
        path.write_text(text)
        module = load_file(path)
        loaded.append(module)
        return module

    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        try:
            yield load
        finally:
            sys.modules.pop("redeployed", None)
            for module in loaded[-1:]:
                with contextlib.suppress(squall.exception.NotFoundError):
                    module.app.stop()


def containers(app: squall.App) -> list[ContainerRecord]:
    async def ask() -> list[ContainerRecord]:
        client = await _client.connected()
        listed = await client.control(ListContainers(app_id=app.app_id, all=True))
        return list(listed.containers)

    return _sync.run(ask())


def alive(app: squall.App) -> set[str]:
    return {record.container_id for record in containers(app) if record.state not in ENDED}


def printed(app: squall.App, wanted: str) -> None:
    """Return when a container of the app has printed that line."""

    async def read() -> None:
        client = await _client.connected()
        async with asyncio.timeout(DEADLINE_S):
            async for batch in follow(client, subjects.logs_of_app("main", str(app.app_id))):
                if wanted in [line.text for line in batch.lines]:
                    return

    _sync.run(read())


def test_redeploy_in_mid_map_loses_nothing_and_later_inputs_run_new_code(version: Load) -> None:
    version(1).app.deploy()
    step = squall.Function.from_name("redeployed", "step")
    shop = squall.Cls.from_name("redeployed", "Shop")()
    assert step.remote(-1) == (-1, 1)
    assert shop.version.remote() == 1
    results = step.map(range(60), kwargs={"seconds": 0.05})
    seen = [next(results)]
    second = version(2)
    second.app.deploy(tag="two")
    assert step.remote(100) == (100, 2)
    seen += results
    assert [x for x, _ in seen] == list(range(60))
    assert seen[0][1] == 1
    assert seen[-1][1] == 2
    printed(second.app, "version 1 closed")


def test_recreated_app_has_no_old_container_left_and_rolls_back(version: Load) -> None:
    first = version(1)
    first.app.deploy()
    step = squall.Function.from_name("redeployed", "step")
    assert step.remote(1) == (1, 1)
    old = alive(first.app)
    assert old
    second = version(2)
    del second.app._functions["told"]
    second.app.deploy(strategy="recreate")
    assert not old & alive(second.app)
    assert step.remote(2) == (2, 2)

    async def back() -> tuple[int, list[tuple[int, int | None]]]:
        client = await _client.connected()
        done = await client.control(RollbackApp(environment="main", name="redeployed"))
        asked = AppHistory(environment="main", name="redeployed")
        kept = (await client.control(asked)).versions
        return done.version, [(v.version, v.rollback_of) for v in kept]

    now, history = _sync.run(back())
    assert history[0] == (now, now - 2)
    assert step.remote(3) == (3, 1)
    assert squall.Function.from_name("redeployed", "told").remote()[0] == "nothing"


def test_options_make_pools_that_callers_share(version: Load) -> None:
    module = version(1)
    module.app.deploy()
    told = squall.Function.from_name("redeployed", "told")
    said, container = told.with_options(env={"GREETING": "hello"}).remote()
    assert said == "hello"
    assert module.told.with_options(env={"GREETING": "hello"}).remote() == (said, container)
    assert told.remote()[1] != container
    batching = module.doubled.with_batching(max_batch_size=4, wait_ms=200)
    assert list(batching.map(range(8))) == [2 * x for x in range(8)]
    assert module.doubled.remote(7) == 7
    with pytest.raises(squall.exception.InvalidError, match=r"single|batch"):
        batching.with_concurrency(max_inputs=3).remote(1)


def test_idle_container_leaves_in_order_and_one_that_will_not_leave_is_killed(
    version: Load,
) -> None:
    module = version(1)
    module.app.deploy()
    lingering = module.Lingerer().container.remote()
    assert module.Shop().version.remote() == 1
    printed(module.app, "version 1 closed")
    module.app.stop()

    deadline = time.monotonic() + DEADLINE_S
    while lingering in alive(module.app):
        assert time.monotonic() < deadline
        time.sleep(0.2)
