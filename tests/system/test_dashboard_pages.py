"""What stands for something on the server tells where the dashboard shows it."""

from collections.abc import Callable, Iterator

import httpx
import pytest
import squall
from squall import _client, _sync
from squall_contracts.dashboard import DashboardDoor, OpenDashboard

from .conftest import Server, connected_to, load


@pytest.fixture
def browser(servers: Callable[[str], Server]) -> Iterator[httpx.Client]:
    """Somebody who is signed in."""
    server = servers("process")

    async def door() -> DashboardDoor:
        return await (await _client.connected()).control(OpenDashboard())

    with (
        connected_to(server.ready["url"], server.ready["credentials"], "process"),
        httpx.Client(timeout=60) as web,
    ):
        opened = _sync.run(door())
        web.post(f"{opened.url}-/login", data={"token": opened.code}).raise_for_status()
        yield web


def test_everything_has_its_page(browser: httpx.Client) -> None:
    shared, stateful = load("sharing"), load("classes")
    with shared.app.run(), stateful.app.run():
        assert shared.remember.remote("key", 1)
        call = shared.remember.spawn("key", 2)
        assert call.get(timeout=60)
        volume = squall.Volume.from_name("shown", create_if_missing=True)
        sandbox = squall.Sandbox.create(app=shared.app)
        image = squall.Image.debian_slim().build()
        secret = squall.Secret.from_name("shown")
        squall.Secret.objects.create("shown", {"KEY": "hidden"}, allow_existing=True)
        for thing, shown in (
            (shared.app, "sharing"),
            (shared.remember, "remember"),
            (call, call.object_id),
            (shared.counts, "counts"),
            (shared.tasks, "tasks"),
            (volume, "shown"),
            (sandbox, "running"),
            (image, "debian_slim"),
            (secret, "shown"),
            (stateful.Model, "Model"),
            (squall.Environment.from_context(), "main"),
        ):
            url = thing.get_dashboard_url()
            page = browser.get(url)
            assert page.status_code == 200, url
            assert shown in page.text, url
        sandbox.terminate()


def test_what_does_not_run_has_no_page(browser: httpx.Client) -> None:
    shared = load("sharing")
    for thing in (shared.app, shared.remember):
        with pytest.raises(squall.exception.ExecutionError):
            thing.get_dashboard_url()
    for missing in (
        squall.Function.from_name("nothing", "nothing"),
        squall.Cls.from_name("nothing", "Nothing"),
        squall.Queue.from_name("nothing"),
        squall.Secret.from_name("nothing"),
        squall.Volume.from_name("nothing"),
        squall.Environment.from_name("nothing"),
    ):
        with pytest.raises(squall.exception.NotFoundError):
            missing.get_dashboard_url()
