"""The ingress without a container: what is refused, what waits, what is cut off."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from squall_contracts import apps, environments, subjects, verbs, web_subjects, webtokens
from squall_contracts.failures import Refused
from squall_contracts.functions import FunctionSpec, MethodSpec
from squall_contracts.web import Started, WebSpec

from .conftest import Client, Platform, running_platform, spec
from .web_rig import guest_of

ASGI = WebSpec(kind="asgi")


@pytest.fixture
async def brief(tmp_path: Path) -> AsyncIterator[Platform]:
    """A platform with little patience."""
    async with running_platform(
        tmp_path,
        web_request_wait_s=0.2,
        web_parked_s=1.0,
        web_head_patience_s=0.3,
        web_client_patience_s=0.1,
        web_max_connections=4,
        web_max_body_bytes=100_000,
    ) as found:
        await found.have_image()
        yield found


async def deployed(platform: Platform, **web: WebSpec) -> apps.AppStarted:
    """An app deployed with these endpoints; its URLs answer from here on."""
    client = await platform.client()
    async with client.bus:
        started = await client.ask(
            verbs.DEPLOY_APP,
            apps.DeployApp(
                environment="main",
                name="a",
                functions=tuple(spec(name, web=each) for name, each in web.items()),
            ),
        )
    assert isinstance(started, apps.AppStarted)
    return started


async def test_a_deploy_says_where_its_endpoints_are(platform: Platform, client: Client) -> None:
    page = MethodSpec(name="page", web=ASGI)
    functions = (
        spec("f", web=ASGI),
        spec("C", methods=(page, MethodSpec(name="m"))),
        spec("r", web=WebSpec(kind="route", path="/x/{id}")),
        spec("d", web=WebSpec(kind="asgi", custom_domains=("api.example.com",))),
        spec("plain"),
    )
    asked = apps.DeployApp(environment="main", name="a", functions=functions)
    urls = {
        "f": f"{platform.web_url}/web/test--a-f",
        "C.page": f"{platform.web_url}/web/test--a-c-page",
        "r": f"{platform.web_url}/web/test--a/x/{{id}}",
        "d": "http://api.example.com",
    }
    for _ in range(2):  # the second changes nothing, and says the same
        assert (await client.ask(verbs.DEPLOY_APP, asked)).web_urls == urls
    started = apps.StartApp(environment="main", name="a", functions=functions, client_id="cl-1")
    run = await client.ask(verbs.START_APP, started)
    assert run.web_urls["f"] == f"{platform.web_url}/web/test--a-f-dev"
    found = await client.ask(
        verbs.FIND_FUNCTION, apps.FindFunction(environment="main", app="a", name="C")
    )
    assert found.web_urls == {"page": urls["C.page"]}


async def test_an_address_that_another_app_has_is_refused_at_deploy(
    platform: Platform, client: Client
) -> None:
    def app(name: str, *functions: FunctionSpec) -> apps.DeployApp:
        return apps.DeployApp(environment="main", name=name, functions=functions)

    shop = WebSpec(kind="asgi", label="shop")
    await client.ask(verbs.DEPLOY_APP, app("a", spec("f", web=shop)))
    assert (await client.ask(verbs.DEPLOY_APP, app("a", spec("f", web=shop)))).changed is False
    refused = await client.ask(verbs.DEPLOY_APP, app("b", spec("g", web=shop)))
    assert isinstance(refused, Refused)
    assert "test--shop, as f of app 'a'" in refused.message
    twice = app("c", spec("g", web=shop), spec("h", web=shop))
    assert "g and h of app 'c'" in (await client.ask(verbs.DEPLOY_APP, twice)).message
    assert not (await client.ask(verbs.LIST_APPS, apps.ListApps())).apps[1:], "nothing is half done"
    other = await platform.client("other")
    async with other.bus:
        await platform.have_image(platform.server.keys.workspace("other").public)
        elsewhere = await other.ask(verbs.DEPLOY_APP, app("b", spec("g", web=shop)))
        assert elsewhere.web_urls["g"].endswith("/web/other--shop")
    served = apps.StartApp(
        environment="main", name="b", functions=(spec("g", web=shop),), client_id="cl-1"
    )
    for suffix in ("dev", "ada7"):
        asked = msgspec.structs.replace(served, dev_suffix=suffix)
        started = await client.ask(verbs.START_APP, asked)
        assert started.web_urls["g"] == f"{platform.web_url}/web/test--shop-{suffix}"
    await client.ask(verbs.STOP_APP, apps.StopApp(environment="main", name="a"))
    again = app("b", spec("g", web=shop))
    while isinstance(await client.ask(verbs.DEPLOY_APP, again), Refused):  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # the registry's word is on its way


async def test_an_environment_is_in_addresses_by_its_web_suffix(
    platform: Platform, client: Client
) -> None:
    made = environments.CreateEnvironment(name="staging", web_suffix="next")
    await client.ask(verbs.CREATE_ENVIRONMENT, made)
    asked = apps.DeployApp(environment="staging", name="a", functions=(spec("f", web=ASGI),))
    url = f"{platform.web_url}/web/test-next--a-f"
    while (await client.ask(verbs.DEPLOY_APP, asked)).web_urls != {"f": url}:  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # the registry's word is on its way
    renamed = environments.UpdateEnvironment(name="staging", web_suffix="later")
    await client.ask(verbs.UPDATE_ENVIRONMENT, renamed)
    async with httpx.AsyncClient() as web:
        while (await web.get(url)).status_code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # as above


async def test_a_request_that_takes_long_is_come_back_for_and_given_up_when_nobody_does(
    brief: Platform,
) -> None:
    urls = (await deployed(brief, f=ASGI)).web_urls
    workspace = await brief.context.workspaces.get(brief.account)
    async with httpx.AsyncClient() as web:
        first = await web.get(f"{urls['f']}/x?a=1")
        assert first.status_code == 303
        place = first.headers["location"]
        assert place.startswith(f"{urlsplit(urls['f']).path}/x?a=1&squall-result=")
        again = await web.get(f"{brief.web_url}{place}")
        assert (again.status_code, again.headers["location"]) == (303, place)
        assert await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL)
        while await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the server's own clock says when


async def test_a_client_that_leaves_before_a_container_came_leaves_nothing_behind(
    platform: Platform,
) -> None:
    urls = (await deployed(platform, f=ASGI)).web_urls
    workspace = await platform.context.workspaces.get(platform.account)
    async with httpx.AsyncClient() as web:
        with pytest.raises(httpx.ReadTimeout):
            await web.get(urls["f"], timeout=0.3)
    while await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL):  # noqa: ASYNC110
        await asyncio.sleep(0.05)  # nobody tells a client that has left


@pytest.mark.parametrize("said", [b"", b"GET / HTT", b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: 1"])
async def test_a_head_that_does_not_come_is_not_waited_for(brief: Platform, said: bytes) -> None:
    place = urlsplit(brief.web_url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(said)
    assert await reader.read() == b""
    writer.close()


async def test_a_body_that_does_not_come_is_answered_408_and_one_too_large_413(
    brief: Platform,
) -> None:
    url = urlsplit((await deployed(brief, f=ASGI)).web_urls["f"])

    async def said(headers: str, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"POST {url.path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n".encode() + body)
        try:
            return (await reader.readline()).split()[1]
        finally:
            writer.close()

    assert await said("content-length: 10", b"half") == b"408"
    assert await said("content-length: 90000", b"half") == b"408"
    assert await said("content-length: 100001", b"") == b"413"
    chunk = b"186a1\r\n" + bytes(100_001) + b"\r\n"
    assert await said("transfer-encoding: chunked", chunk) == b"413"


async def test_connections_past_the_limit_are_turned_away(brief: Platform) -> None:
    place = urlsplit(brief.web_url)
    kept = [await asyncio.open_connection(place.hostname, place.port) for _ in range(4)]
    with socket.create_connection((place.hostname or "", place.port or 0)) as one_more:
        one_more.settimeout(20)
        with pytest.raises(ConnectionError):
            if not await asyncio.to_thread(one_more.recv, 1):
                raise ConnectionResetError
    for _, writer in kept:
        writer.close()


async def test_a_stopped_app_answers_who_waits_and_is_404_afterwards(
    platform: Platform, client: Client
) -> None:
    started = await deployed(platform, f=ASGI)
    async with httpx.AsyncClient() as web:
        waiting = asyncio.create_task(web.get(started.web_urls["f"], timeout=60))
        workspace = await platform.context.workspaces.get(platform.account)
        while not await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # there is no word of a stored request
        await client.ask(verbs.STOP_APP, apps.StopApp(app_id=started.app_id))
        assert (await waiting).status_code == 503
        while (await web.get(started.web_urls["f"])).status_code != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the registry's word is on its way


async def test_a_request_nobody_took_goes_to_the_app_that_replaced_its_own(
    platform: Platform, client: Client
) -> None:
    run = apps.StartApp(
        environment="main", name="a", functions=(spec("f", web=ASGI),), client_id="cl-1"
    )
    old = await client.ask(verbs.START_APP, run)
    async with httpx.AsyncClient() as web, guest_of(platform) as guest:
        waiting = asyncio.create_task(web.get(old.web_urls["f"], timeout=60))
        workspace = await platform.context.workspaces.get(platform.account)
        while not await workspace.admin.backlog(subjects.CALLS, subjects.CALL_ALL):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # there is no word of a stored request
        new = await client.ask(verbs.START_APP, run)
        assert new.web_urls == old.web_urls
        await client.ask(verbs.STOP_APP, apps.StopApp(app_id=old.app_id))
        _, talk = await guest.take()
        talk.tell(Started(talk.session, 200, (), b"of the new one", more=False))
        assert (await waiting).text == "of the new one"


async def test_tokens_are_of_one_workspace_and_kept_as_hashes(
    platform: Platform, client: Client
) -> None:
    made = await client.ask(verbs.CREATE_TOKEN, webtokens.CreateToken(comment="ci"))
    kept = platform.bus.kv(web_subjects.WEB_TOKENS_BUCKET, webtokens.TokenRecord)
    record = (await kept.items())[web_subjects.web_token_key(platform.account, made.token_id)]
    assert made.secret not in repr(record)
    other = await platform.client("other")
    async with other.bus:
        assert (await other.ask(verbs.LIST_TOKENS, webtokens.ListTokens())).tokens == ()
        missing = await other.ask(verbs.DELETE_TOKEN, webtokens.DeleteToken(token_id=made.token_id))
        assert missing.kind == "not_found"
    listed = await client.ask(verbs.LIST_TOKENS, webtokens.ListTokens())
    assert [(each.token_id, each.comment) for each in listed.tokens] == [(made.token_id, "ci")]
    await client.ask(verbs.DELETE_TOKEN, webtokens.DeleteToken(token_id=made.token_id))
    assert (await client.ask(verbs.LIST_TOKENS, webtokens.ListTokens())).tokens == ()
