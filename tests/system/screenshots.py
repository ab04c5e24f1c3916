"""Pictures of the dashboard, of a server that really does what they show.

python -m tests.system.screenshots [--minutes N] [FOLDER]

Starts a server, deploys the apps of programs/gallery.py, calls them for a while, and writes PNGs.
"""

import argparse
import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import squall
from playwright.sync_api import Browser, sync_playwright
from squall._client import connected
from squall._sync import run
from squall_contracts import dashboard as words
from squall_contracts.apps import FindFunction

from tests.system.conftest import Server, connected_to, docker_engine, load

ROOT: Final = Path(__file__).parents[2]
ARGUMENTS: Final = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
DESKTOP: Final = {"width": 1280, "height": 860}
PHONE: Final = {"width": 360, "height": 760}
PICTURES: Final = (
    ("overview", "light", DESKTOP, ""),
    ("overview-dark", "dark", DESKTOP, ""),
    ("overview-phone", "light", PHONE, ""),
    ("function", "light", DESKTOP, "functions/{function}"),
    ("containers-dark", "dark", DESKTOP, "containers?state=all"),
    ("calls", "light", DESKTOP, "calls"),
    ("calls-phone-dark", "dark", PHONE, "calls?state=failed"),
    ("call", "light", DESKTOP, "calls/{call}"),
    ("logs-dark", "dark", DESKTOP, "logs?since=15m"),
    ("dead-letters", "light", DESKTOP, "dead"),
    ("machines", "light", DESKTOP, "machines"),
)


@contextlib.contextmanager
def gallery() -> Iterator[tuple[Server, ModuleType]]:
    """A server with the apps deployed."""
    runtime = "process" if docker_engine() is None else "docker"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(runtime, Path(folder))
        server.start("--ephemeral")
        ready = server.ready
        try:
            with connected_to(ready["url"], ready["credentials"], runtime):
                module = load("gallery")
                squall.Secret.objects.create("payments", {"KEY": "x", "MERCHANT": "y"})
                for app in (module.storefront, module.pictures, module.forecast):
                    app.deploy()
                yield server, module
        finally:
            server.stop()


def work(module: ModuleType, minutes: float) -> None:
    """A shop's traffic, with a busy spell now and then."""
    until, began, order = time.monotonic() + minutes * 60, time.monotonic(), 0
    module.train.spawn(3)
    with ThreadPoolExecutor(4) as callers:
        while time.monotonic() < until:
            order += 1
            busy = 1 + int(4 * abs(((time.monotonic() - began) / 240) % 2 - 1))
            pictures = random.sample(range(1, 2000), 12 * busy)
            callers.submit(list, module.thumbnail.map(pictures))
            callers.submit(module.checkout.remote, order)
            callers.submit(list, module.price.map(["tea", "rice", "salt"] * 3))
            callers.submit(module.Model().predict.remote, order)
            module.caption.spawn(order)
            if order % 17 == 0:
                module.price.spawn("unknown spice")
            callers.submit(time.sleep, 4 / busy).result()


async def _door() -> words.DashboardDoor:
    return await (await connected()).control(words.OpenDashboard())


async def _function_id() -> str:
    wanted = FindFunction(environment="main", app="pictures", name="caption")
    return (await (await connected()).control(wanted)).function_id


def take(browser: Browser, server: Server, links: dict[str, str], folder: Path) -> None:
    """Every picture."""
    door: Any = links.pop("door")
    context = browser.new_context()
    page = context.new_page()
    page.goto(door)
    page.wait_for_url("**/dashboard/main/")
    page.wait_for_timeout(3000)  # what was stored before is read
    state = context.storage_state()
    page.goto(f"{server.ready['web_url']}/dashboard/main/calls?state=failed")
    links["call"] = str(page.locator("tbody a").first.get_attribute("href")).rpartition("/")[2]
    for name, scheme, size, path in PICTURES:
        window: Any = browser.new_context(viewport=size, color_scheme=scheme, storage_state=state)  # type: ignore[arg-type]
        shown = window.new_page()
        shown.goto(f"{server.ready['web_url']}/dashboard/main/{path.format(**links)}")
        shown.wait_for_timeout(700)
        shown.screenshot(path=folder / f"{name}.png")
        window.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs" / "screenshots")
    parser.add_argument("--minutes", type=float, default=12.0)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with gallery() as (server, module):
        work(module, chosen.minutes)
        door = run(_door())
        link = f"{door.url}-/login?code={door.code}"
        links = {"door": link, "function": run(_function_id())}
        with sync_playwright() as playwright:
            path = shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            take(browser, server, links, chosen.folder)
            browser.close()


if __name__ == "__main__":
    main()
