"""The dashboard over HTTP: who gets in, what pages show, and that nothing shown is ever markup."""

import asyncio
import html
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from squall_contracts import apps, dashboard, placement, schedules, subjects, verbs, webtokens
from squall_contracts.calls import Input, Inputs, Raised, Results, Returned
from squall_contracts.dead import DeadLetter
from squall_contracts.failures import Failure
from squall_contracts.functions import Every, FunctionRecord
from squall_contracts.logs import LogBatch, LogLine
from squall_contracts.message import input_id

from .conftest import Client, Platform, spec

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
SECTIONS = (
    "", "apps", "functions", "containers", "calls", "logs", "dead", "schedules", "machines",
    "images", "volumes", "secrets", "collections",
)  # fmt: skip


@pytest.fixture
async def app(platform: Platform, client: Client) -> apps.AppStarted:
    functions = (spec("f"), spec("tick", schedule=Every(seconds=3600.0)))
    started = await client.ask(
        verbs.DEPLOY_APP, apps.DeployApp(environment="main", name="shop", functions=functions)
    )
    assert isinstance(started, apps.AppStarted)
    return started


async def door(client: Client) -> dashboard.DashboardDoor:
    opened = await client.ask(verbs.OPEN_DASHBOARD, dashboard.OpenDashboard())
    assert isinstance(opened, dashboard.DashboardDoor)
    return opened


@pytest.fixture
async def browser(platform: Platform, client: Client) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who is signed in."""
    base = f"{platform.web_url}/dashboard/main/"
    async with httpx.AsyncClient(base_url=base, timeout=30) as web:
        code = (await door(client)).code
        entered = await web.post("../-/login", data={"token": code})
        assert entered.status_code == 200
        yield web


def key_of(page: str) -> str:
    found = re.search(r'name="form-key" content="([0-9a-f]+)"', page)
    assert found is not None
    return found[1]


async def store_result(platform: Platform, call_id: str, *items: Any) -> None:
    bus = await platform.context.workspaces.get(platform.account)
    subject = subjects.reply("main", "cl-1", call_id)
    await bus.store(subject, Results(call_id, "ct-1", tuple(items)))


async def have_container(platform: Platform, function_id: str, **fields: Any) -> None:
    now = time.time()
    record = placement.ContainerRecord(
        container_id="ct-1", function_id=function_id, function_name="f", app_id="ap-x",
        app_name="shop", workspace=platform.account, environment="main", version=1, state="ready",
        since_unix_s={"requested": now - 3, "placed": now - 2, "starting": now - 1, "ready": now},
        phases_ms={"image": 20.0, "import": 700.0}, **fields,
    )  # fmt: skip
    containers = platform.bus.kv(subjects.CONTAINERS_BUCKET, placement.ContainerRecord)
    await containers.put("ct-1", record)


async def until(web: httpx.AsyncClient, path: str, text: str) -> str:
    """The page once it has `text`: what it shows is followed, not asked for."""
    for _ in range(200):
        page = (await web.get(path)).text
        if text in page:
            return page
        await asyncio.sleep(0.05)
    raise AssertionError(f"{text!r} is not at {path!r}:\n{page}")


async def letter(platform: Platform, function_id: str, message: str = "no") -> DeadLetter:
    made = DeadLetter(
        letter_id=input_id("fc-dead", 0), function_id=function_id, function_name="f",
        app_id="ap-gone", app_name="shop", environment="main", call_id="fc-dead", index=0,
        payload=b"arguments", attempts=3, failure=Failure(kind="exception", message=message),
        died_unix_s=time.time(),
    )  # fmt: skip
    bus = await platform.context.workspaces.get(platform.account)
    await bus.store(subjects.dead("main", function_id, made.letter_id), made)
    return made


# --- the door --------------------------------------------------------------------------------------


async def test_without_a_session_there_is_only_the_door(platform: Platform) -> None:
    async with httpx.AsyncClient() as web:
        for path in ("main/", "main/calls/fc-1", "main/-/live", "main/-/logs"):
            answer = await web.get(f"{platform.web_url}/dashboard/{path}")
            assert answer.status_code == 303
            assert answer.headers["location"] == "/dashboard/-/login"
        page = await web.get(f"{platform.web_url}/dashboard/-/login")
        assert page.status_code == 200
        wrong = await web.post(f"{platform.web_url}/dashboard/-/login", data={"token": "guess"})
        assert wrong.status_code == 403
        assert "set-cookie" not in wrong.headers


async def test_a_code_opens_one_session_whose_cookie_no_script_and_no_site_gets(
    platform: Platform, client: Client
) -> None:
    code = (await door(client)).code
    async with httpx.AsyncClient() as web:
        url = f"{platform.web_url}/dashboard/-/login"
        entered = await web.get(url, params={"code": code})
        cookie = entered.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Path=/dashboard"} <= set(cookie.split("; "))
        assert (await web.get(f"{platform.web_url}/dashboard/main/")).status_code == 200
    async with httpx.AsyncClient() as other:
        assert (await other.get(url, params={"code": code})).status_code == 403


async def test_a_token_of_its_scope_opens_sessions_until_it_is_deleted(
    platform: Platform, client: Client
) -> None:
    made = {
        scope: await client.ask(verbs.CREATE_TOKEN, webtokens.CreateToken(scopes=(scope,)))
        for scope in ("web", "api", "dashboard")
    }
    url = f"{platform.web_url}/dashboard"
    async with httpx.AsyncClient(timeout=30) as web:

        async def entered(token_id: str, secret: str) -> int:
            said = {"token": f"{token_id}.{secret}"}
            return (await web.post(f"{url}/-/login", data=said)).status_code

        for scope in ("web", "api"):
            assert await entered(made[scope].token_id, made[scope].secret) == 403
        token = made["dashboard"]
        assert await entered(token.token_id, "guess") == 403
        assert await entered("*", token.secret) == 403
        assert await entered(token.token_id, token.secret) == 200
        assert (await web.get(f"{url}/main/")).status_code == 200
        await client.ask(verbs.DELETE_TOKEN, webtokens.DeleteToken(token_id=token.token_id))
        assert (await web.get(f"{url}/main/")).status_code == 303
        assert await entered(token.token_id, token.secret) == 403


async def test_signing_out_ends_the_session_of_this_browser(browser: httpx.AsyncClient) -> None:
    key = key_of((await browser.get("")).text)
    assert (await browser.post("../-/logout", data={"key": "wrong"})).status_code == 403
    await browser.post("../-/logout", data={"key": key})
    assert (await browser.get("")).status_code == 303


async def test_scripts_of_apps_at_the_same_origin_get_no_page(
    browser: httpx.AsyncClient,
) -> None:
    page = (await browser.get("")).text
    fetched = {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    assert (await browser.get("", headers=fetched)).status_code == 403
    with_key = {**fetched, "Squall-Form-Key": key_of(page)}
    assert (await browser.get("", headers=with_key)).status_code == 200


async def test_a_workspace_sees_nothing_of_another(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    other = await platform.client("other")
    async with other.bus:
        code = (await door(other)).code
        async with httpx.AsyncClient(base_url=str(browser.base_url)) as web:
            await web.post("../-/login", data={"token": code})
            assert "shop" not in (await web.get("functions")).text
            for path in (f"apps/{app.app_id}", f"functions/{app.function_ids['f']}"):
                assert (await web.get(path)).status_code == 404
    assert "shop" in await until(browser, "functions", "shop")


# --- pages -----------------------------------------------------------------------------------------


async def test_every_page_is_there_and_none_has_code_of_its_own(
    browser: httpx.AsyncClient, app: apps.AppStarted
) -> None:
    for section in SECTIONS:
        answer = await browser.get(section)
        assert answer.status_code == 200, section
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        code = r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=|javascript:"
        assert not re.search(code, answer.text), section
        assert answer.headers["cache-control"] == "no-store"


async def test_hostile_text_is_shown_and_never_run(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    function_id = app.function_ids["f"]
    await have_container(platform, function_id, reason=HOSTILE, waits_for=HOSTILE)
    failure = Failure(kind="exception", message=HOSTILE, traceback=HOSTILE)
    await store_result(platform, "fc-1", Raised(0, failure))
    await letter(platform, function_id, HOSTILE)
    await platform.have_image(image_id="im-bad", state="failed", error=HOSTILE, log_tail=HOSTILE)
    runner = placement.RunnerRecord(
        runner_id="rn-1", hostname=HOSTILE, runtime="process", cpu=4, memory_mib=1024,
        labels={HOSTILE: HOSTILE}, gpus=(HOSTILE,),
    )  # fmt: skip
    await platform.bus.kv(subjects.RUNNERS_BUCKET, placement.RunnerRecord).put("rn-1", runner)
    bus = await platform.context.workspaces.get(platform.account)
    batch = LogBatch(
        container_id="ct-1", function_id=function_id, function_name=HOSTILE, app_id=app.app_id,
        lines=(LogLine(time.time(), "stdout", HOSTILE),),
    )  # fmt: skip
    await bus.store(subjects.log("main", app.app_id, function_id, "ct-1"), batch)
    await until(browser, "calls", "fc-1")
    paths = [*SECTIONS, f"functions/{function_id}", "containers/ct-1", "calls/fc-1"]
    paths += ["images/im-bad", f"dead/{input_id('fc-dead', 0)}"]
    shown = 0
    for path in paths:
        page = (await browser.get(path, params={"q": HOSTILE if path == "logs" else ""})).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        shown += html.escape("<script>alert(1)</script>") in page
    assert shown >= 9


async def test_a_search_that_is_markup_stays_text(browser: httpx.AsyncClient) -> None:
    for section in ("apps", "functions", "containers", "calls", "logs", "images"):
        page = (await browser.get(section, params={"q": HOSTILE, "page": HOSTILE})).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page


async def test_a_call_tells_of_its_inputs_and_the_remote_traceback(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    await have_container(platform, app.function_ids["f"])
    failure = Failure(kind="exception", message="ValueError: bad row", traceback="line 7, in f")
    await store_result(platform, "fc-1", Returned(0, b"", 0.25), Raised(1, failure))
    bus = await platform.context.workspaces.get(platform.account)
    waiting = Inputs("fc-1", subjects.reply("main", "cl-1", "fc-1"), (Input(2, b""),))
    await bus.store(subjects.call("main", app.function_ids["f"], "now", "fc-1"), waiting)
    page = await until(browser, "calls/fc-1", "line 7, in f")
    assert "ValueError: bad row" in page
    assert "250 ms" in page
    assert "waits or runs" in page
    listed = await until(browser, "calls?state=pending", "fc-1")
    assert app.function_ids["f"] in listed
    assert (await browser.get("calls/fc-unknown")).status_code == 404
    assert (await browser.get("calls/fc.*.>")).status_code == 404


async def test_a_function_has_its_figures(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    await have_container(platform, app.function_ids["f"])
    await until(browser, "containers", "ct-1")
    outcomes = [Returned(index, b"", 0.1) for index in range(9)]
    failure = Failure(kind="exception", message="ValueError: bad row")
    await store_result(platform, "fc-1", *outcomes, Raised(9, failure))
    page = await until(browser, f"functions/{app.function_ids['f']}", "10 %")
    assert "fc-1" in page
    assert "import" in page


async def test_logs_are_searched(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    bus = await platform.context.workspaces.get(platform.account)
    function_id = app.function_ids["f"]
    lines = tuple(LogLine(time.time(), "stdout", f"row {n}") for n in range(5))
    batch = LogBatch(
        container_id="ct-1", function_id=function_id, function_name="f", app_id=app.app_id,
        lines=lines,
    )  # fmt: skip
    await bus.store(subjects.log("main", app.app_id, function_id, "ct-1"), batch)
    page = (await browser.get("logs", params={"q": "ROW 3"})).text
    assert ("row 3" in page, "row 2" in page) == (True, False)
    other = app.function_ids["tick"]
    assert "row 3" not in (await browser.get("logs", params={"function": other})).text


# --- actions ---------------------------------------------------------------------------------------


async def test_an_action_needs_the_key_of_the_session(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    await until(browser, "functions", "tick")
    wanted = {"action": "pause", "id": app.function_ids["tick"], "back": "schedules"}
    key = key_of((await browser.get("schedules")).text)
    for sent, headers in (
        (wanted, {}),
        ({**wanted, "key": "0" * 40}, {}),
        ({**wanted, "key": key}, {"Origin": "http://evil.example"}),
        ({**wanted, "key": key}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        assert (await browser.post("", data=sent, headers=headers)).status_code == 403
    functions = platform.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
    entry = await functions.get(app.function_ids["tick"])
    assert entry is not None
    assert not entry.value.schedule_paused
    done = await browser.post("", data={**wanted, "key": key})
    assert (done.status_code, done.headers["location"]) == (
        303,
        "/dashboard/main/schedules?done=paused",
    )
    entry = await functions.get(app.function_ids["tick"])
    assert entry is not None
    assert entry.value.schedule_paused


async def test_a_run_now_is_a_stored_call(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    key = key_of(await until(browser, "functions", "tick"))
    wanted = {"action": "run-now", "id": app.function_ids["tick"], "back": "schedules", "key": key}
    assert (await browser.post("", data=wanted)).status_code == 303
    bus = await platform.context.workspaces.get(platform.account)
    subject = subjects.call_function("main", app.function_ids["tick"])
    stored = await bus.admin.next_message(subjects.CALLS, subject)
    assert stored is not None
    assert schedules.EMPTY_ARGUMENTS in stored.data


async def test_a_retried_letter_is_a_new_call_with_its_arguments_and_the_letter_is_gone(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    made = await letter(platform, app.function_ids["f"])
    key = key_of(await until(browser, "dead", made.letter_id))
    wanted = {"action": "retry", "id": made.letter_id, "back": "dead", "key": key}
    assert (await browser.post("", data=wanted)).status_code == 303
    bus = await platform.context.workspaces.get(platform.account)
    subject = subjects.call_function("main", app.function_ids["f"])
    stored = await bus.admin.next_message(subjects.CALLS, subject)
    assert stored is not None
    assert b"arguments" in stored.data
    assert made.letter_id not in (await browser.get("dead")).text
    again = await browser.post("", data=wanted)
    assert again.status_code == 409
    assert "there is no dead letter" in again.text


async def test_a_purged_letter_is_gone(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    made = await letter(platform, app.function_ids["f"])
    key = key_of(await until(browser, "dead", made.letter_id))
    wanted = {"action": "purge", "id": made.letter_id, "back": "//evil.example", "key": key}
    done = await browser.post("", data=wanted)
    assert done.headers["location"] == "/dashboard/main/?done=purged"
    assert (await browser.get(f"dead/{made.letter_id}")).status_code == 404


# --- streams ---------------------------------------------------------------------------------------


async def test_a_page_hears_that_something_changed(
    platform: Platform, client: Client, browser: httpx.AsyncClient
) -> None:
    key = key_of((await browser.get("")).text)
    async with browser.stream("GET", "-/live", params={"key": key}) as told:
        assert told.headers["content-type"] == "text/event-stream"
        lines = told.aiter_lines()
        functions = (spec("g"),)
        deploy = apps.DeployApp(environment="main", name="later", functions=functions)
        await client.ask(verbs.DEPLOY_APP, deploy)
        async for line in lines:
            if line == "event: changed":
                break


async def test_a_log_follows_behind_the_line_it_has(
    platform: Platform, app: apps.AppStarted, browser: httpx.AsyncClient
) -> None:
    key = key_of((await browser.get("")).text)
    bus = await platform.context.workspaces.get(platform.account)
    subject = subjects.log("main", app.app_id, app.function_ids["f"], "ct-1")

    async def printed(text: str) -> int:
        batch = LogBatch(
            container_id="ct-1", function_id=app.function_ids["f"], function_name="f",
            app_id=app.app_id, lines=(LogLine(time.time(), "stdout", text),),
        )  # fmt: skip
        return await bus.store(subject, batch)

    first = await printed("first")
    params = {"key": key, "after": str(first), "q": "wanted"}
    async with browser.stream("GET", "-/logs", params=params) as told:
        lines = told.aiter_lines()
        await printed("something else")
        last = await printed("the wanted <b>line</b>")
        seen = []
        async for line in lines:
            seen.append(line)
            if line.startswith("data:"):
                break
    assert f"id: {last}" in seen
    assert "the wanted <b>line</b>" in seen[-1]
    assert not any("something else" in line for line in seen)
