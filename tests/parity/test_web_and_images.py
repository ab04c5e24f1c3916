"""Lines 71 and 72: web endpoints and images."""

import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import squall
from squall.exception import ExecutionError, InvalidError
from squall.image import resolve
from squall_contracts.web import WebSpec
from squall_guest.web.endpoint import endpoint

from ..system.conftest import Server


async def test_71_endpoints_have_cors_docs_streams_lifespans_and_dev_addresses(
    world: Server,
) -> None:
    def greet(name: str = "world") -> dict[str, str]:
        return {"hello": name}

    for docs, status in ((True, 200), (False, 404)):
        made: Any = endpoint(WebSpec(kind="fastapi", docs=docs), greet)
        transport = httpx.ASGITransport(app=made)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            answer = await client.get("/?name=Ada", headers={"origin": "http://elsewhere"})
            assert answer.json() == {"hello": "Ada"}
            assert answer.headers["access-control-allow-origin"]
            assert (await client.get("/docs")).status_code == status

    app = squall.App("p-71")
    app.function(serialized=True, name="asgi")(squall.asgi_app()(streams))
    app.function(serialized=True, name="wsgi")(squall.wsgi_app()(simple))
    async with app.run():
        url = await app.functions["asgi"].get_web_url.aio()
        assert url is not None
        assert url.endswith("-dev")
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.get(url)).text == "started one two"
            plain = await app.functions["wsgi"].get_web_url.aio()
            assert plain is not None
            assert (await client.get(plain)).text == "wsgi"
    with pytest.raises(InvalidError):
        squall.asgi_app()(squall.App("order").function(serialized=True)(simple))
    with pytest.raises(InvalidError):
        squall.asgi_app()(needs_arguments)


def streams() -> Any:
    """An ASGI app with a lifespan and an answer in pieces."""
    state = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            state["started"] = b"started "
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (state["started"], b"one ", b"two"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def simple() -> Any:
    def app(_environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [("content-type", "text/plain")])
        return [b"wsgi"]

    return app


def needs_arguments(x: int) -> int:
    return x


def test_72_images_are_layers_that_follow_rules(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("kept")
    (tmp_path / "skip.log").write_text("skipped")
    base = squall.Image.debian_slim("3.11")
    lazy = base.add_local_dir(tmp_path, "/data", ignore=["*.log"])
    assert [entry.path for entry in resolve(lazy).overlays] == ["/data/keep.txt"]
    assert resolve(lazy).image_id == resolve(base).image_id
    copied = base.add_local_dir(tmp_path, "/data", copy=True, ignore=["*.log"])
    assert resolve(copied).overlays == ()
    assert resolve(copied).image_id != resolve(base).image_id
    with pytest.raises(InvalidError, match="copy=True"):
        lazy.run_commands("true")
    assert (
        resolve(base.pip_install("b", "a")).image_id == resolve(base.pip_install("a", "b")).image_id
    )
    assert base.pip_install() is base
    with pytest.raises(InvalidError):
        base.pip_install("-flag")
    with pytest.raises((InvalidError, TypeError)):
        base.env({"A": 1})  # type: ignore[dict-item]
    with pytest.raises((InvalidError, TypeError)):
        squall.Image.debian_slim(3.11)  # type: ignore[arg-type]
    forced = base.run_commands("true", force_build=True)
    assert resolve(forced).image_id != resolve(base.run_commands("true")).image_id
    baked = [resolve(base.run_function(prepare, args=(n,))).image_id for n in (1, 1, 2)]
    assert baked[0] == baked[1] != baked[2]
    with pytest.raises(InvalidError, match="lambda"):
        base.run_function(lambda: None)
    with warnings.catch_warnings(), base.imports():
        import a_module_nobody_has  # noqa: F401
    with pytest.raises(ImportError):
        base.raise_import_failure()
    with pytest.raises(ExecutionError, match="not built yet"):
        base.hydrate()
    with pytest.raises(InvalidError, match="recipe"):
        base.publish("name")


def prepare(n: int) -> int:
    return n
