"""The dashboard in a real browser, over a real server and real functions."""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from squall._client import connected
from squall._sync import run
from squall_contracts import dashboard as words

from tests.system.conftest import Server, connected_to, load

T = TypeVar("T")

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-quic",
)  # fmt: skip
SECTIONS = (
    "", "apps", "functions", "containers", "calls", "logs", "dead", "schedules", "machines",
    "images", "volumes", "secrets", "collections",
)  # fmt: skip
HOSTILE = "unknown <img src=x onerror=\"document.title='taken'\">"
CHOICE = """document.activeElement.name === "id"
    && document.activeElement.closest("tr").textContent.includes("unknown thing")"""
pytestmark = pytest.mark.parametrize("server", ["process"], indirect=True)
Open = Callable[[str], Page]


class Shop:
    """The functions of `storefront`, called on a thread of their own: the browser's has a loop."""

    def __init__(self, module: ModuleType, thread: ThreadPoolExecutor) -> None:
        self._module = module
        self._thread = thread

    def do(self, work: Callable[[ModuleType], T]) -> T:
        return self._thread.submit(work, self._module).result()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: install your distribution's package")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Shop]:
    ready, running = server.ready, contextlib.ExitStack()

    def begin() -> ModuleType:
        running.enter_context(connected_to(ready["url"], ready["credentials"], server.runtime))
        module = load("storefront")
        running.enter_context(module.app.run())
        return module

    with ThreadPoolExecutor(1) as thread:
        try:
            yield Shop(thread.submit(begin).result(), thread)
        finally:
            thread.submit(running.close).result()


def signed_in(chromium: Browser, server: Server, shop: Shop, **options: Any) -> BrowserContext:
    """A browser that came in by the link of `squall dashboard`."""
    context = chromium.new_context(**options)
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    door = shop.do(lambda _: run(_door()))
    page = context.new_page()
    page.goto(f"{door.url}-/login?code={door.code}")
    page.wait_for_url("**/dashboard/main/")
    page.close()
    return context


async def _door() -> words.DashboardDoor:
    return await (await connected()).control(words.OpenDashboard())


@pytest.fixture
def window(chromium: Browser, server: Server, shop: Shop) -> Iterator[BrowserContext]:
    context = signed_in(chromium, server, shop)
    yield context
    context.close()


@pytest.fixture
def visit(window: BrowserContext, server: Server) -> Open:
    page = window.new_page()

    def opened(path: str) -> Page:
        page.goto(f"{server.ready['web_url']}/dashboard/main/{path}")
        return page

    return opened


def test_a_functions_calls_are_seen_while_they_happen(shop: Shop, visit: Open) -> None:
    page = visit("")
    page.get_by_role("link", name="Apps").click()
    page.get_by_role("link", name="storefront").click()
    page.get_by_role("link", name="thumbnail").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("thumbnail")
    done = shop.do(lambda app: list(app.thumbnail.map(range(40))))
    assert done == list(range(40))
    tile = page.locator(".tiles div", has_text="Calls, last hour").locator("dd")
    expect(tile).to_have_text("40")  # without a reload
    page.get_by_role("link", name=re.compile("^fc-")).first.click()
    expect(page.get_by_role("row", name=re.compile("done"))).to_have_count(40)


def test_a_failed_call_has_its_remote_traceback_and_no_markup_runs(shop: Shop, visit: Open) -> None:
    with pytest.raises(ValueError, match="no price"):
        shop.do(lambda app: app.price.remote(HOSTILE))
    function_id = shop.do(lambda app: app.price.object_id)
    page = visit(f"calls?state=failed&function={function_id}")
    page.get_by_role("link", name=re.compile("^fc-")).first.click()
    expect(page.locator("pre")).to_contain_text("raise ValueError")
    assert page.locator("main img").count() == 0
    assert "taken" not in page.title()


def test_live_logs_appear_are_searched_and_paused(shop: Shop, visit: Open) -> None:
    page = visit("logs?since=15m")
    expect(page.get_by_role("status").first).to_have_text("live")
    shop.do(lambda app: app.say.remote("a line <b>while</b> watching"))
    lines = page.get_by_role("log")
    expect(lines).to_contain_text("a line <b>while</b> watching")
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    shop.do(lambda app: app.say.remote("held back"))
    expect(page.get_by_role("button", name=re.compile(r"Go on \(\d+ new\)"))).to_be_visible()
    assert "held back" not in lines.inner_text()
    page.get_by_role("button", name=re.compile("Go on")).click()
    expect(lines).to_contain_text("held back")
    page.get_by_label("Contains").fill("HELD")
    page.get_by_label("Contains").press("Enter")
    expect(lines.locator("li")).to_have_count(1)


def test_a_dead_letter_is_retried_by_keyboard_alone(shop: Shop, visit: Open) -> None:
    shop.do(lambda app: app.price.spawn("unknown thing"))
    page = visit("dead")
    row = page.get_by_role("row", name=re.compile("unknown thing"))
    expect(row).to_be_visible()
    first = row.get_by_role("link").first.inner_text()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(CHOICE):
            break
    page.keyboard.press("Space")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Retry chosen":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("runs again, as a new call")).to_be_visible()
    expect(page.get_by_role("link", name=first)).to_have_count(0)
    expect(page.get_by_role("row", name=re.compile("unknown thing"))).to_be_visible()  # anew


def test_a_phone_shows_every_page_without_scrolling_sideways(
    shop: Shop, chromium: Browser, server: Server
) -> None:
    shop.do(lambda app: app.say.remote("x" * 300))
    phone = signed_in(
        chromium, server, shop, viewport={"width": 360, "height": 740}, has_touch=True
    )
    page = phone.new_page()
    for section in SECTIONS:
        page.goto(f"{server.ready['web_url']}/dashboard/main/{section}")
        assert page.evaluate("document.documentElement.scrollWidth") == 360, section
    phone.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_what_keeps_people_out(
    shop: Shop, chromium: Browser, server: Server, scheme: str
) -> None:
    with pytest.raises(ValueError, match="no price"):
        shop.do(lambda app: app.price.remote("unknown"))
    context = signed_in(chromium, server, shop, color_scheme=scheme)
    page = context.new_page()
    ids = shop.do(lambda app: (app.app.app_id, app.price.object_id))
    sections = [*SECTIONS, f"apps/{ids[0]}", f"functions/{ids[1]}"]
    found = []
    for section in sections:
        page.goto(f"{server.ready['web_url']}/dashboard/main/{section}")
        report = Axe().run(page).response
        found += [
            f"{section}: {each['id']}: {each['nodes'][0]['html']}"
            for each in report["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    context.close()
    assert not found, "\n".join(found)
    assert (light > 200) if scheme == "light" else (light < 40)


def test_an_app_at_the_same_origin_reads_nothing_of_the_dashboard(
    shop: Shop, window: BrowserContext, server: Server
) -> None:
    url = urlsplit(shop.do(lambda app: app.neighbour.get_web_url()))
    label = url.hostname.partition(".")[0] if url.hostname else ""
    path = url.path if url.path.startswith("/web/") else f"/web/{label}/"
    page = window.new_page()
    page.goto(f"{server.ready['web_url']}{path}")
    expect(page.locator("#said")).to_have_text(re.compile("fetch 403, window (nothing|refused)"))
