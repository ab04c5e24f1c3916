"""The configuration of nginx in deploy/ works as docs/web.md says: TLS in front, streams through."""

import ast
import asyncio
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets

from tests.ports import await_listener, free_port
from tests.system.conftest import Server, connected_to, load

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "nginx.conf"
pytestmark = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Server]:
    """A server that believes proxies on this machine."""
    settings = {
        "SQUALL_GATEWAY_WEB_TRUSTED_PROXIES": "127.0.0.1",
        "SQUALL_GATEWAY_WEB_DOMAIN": "apps.example.org",
    }
    running = Server("process", tmp_path / "state", **settings)
    running.start("--ephemeral")
    yield running
    running.stop()


@pytest.fixture
def front(proxied: Server, tmp_path: Path) -> Iterator[int]:
    """nginx as deploy/nginx.conf has it, but for names and ports of this test; its port."""
    port = free_port()
    subject = ["-subj", "/CN=apps.example.org", "-days", "1"]
    files = ["-keyout", str(tmp_path / "tls.key"), "-out", str(tmp_path / "tls.crt")]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files]
    subprocess.run(made, check=True, capture_output=True)
    text = CONFIGURATION.read_text()
    for theirs, ours in (
        (
            "127.0.0.1:8000",
            proxied.ready["web_url"].partition("://")[2].replace("localhost", "127.0.0.1"),
        ),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/squall/", f"{tmp_path}/"),
        ("events {}", f"pid {tmp_path}/pid; daemon off; error_log stderr; events {{}}"),
        (
            "http {",
            f"http {{ access_log off; client_body_temp_path {tmp_path}; proxy_temp_path {tmp_path};",
        ),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    (tmp_path / "nginx.conf").write_text(text)
    nginx = subprocess.Popen(["nginx", "-p", str(tmp_path), "-c", "nginx.conf"])
    try:
        await_listener(nginx, port)
        yield port
    finally:
        nginx.terminate()
        nginx.wait(20)


def test_apps_behind_nginx_are_reached_over_tls(proxied: Server, front: int) -> None:
    module = load("web")
    ready = proxied.ready
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with connected_to(ready["url"], ready["credentials"], "process"), module.app.run():
        url = module.Asgi().open.get_web_url()
        name = url.partition("://")[2].partition(":")[0]
        assert name == "main--web-asgi-open-dev.apps.example.org"
        with httpx.Client(verify=trusting, headers={"host": name}, timeout=60) as client:
            base = f"https://127.0.0.1:{front}"
            told = ast.literal_eval(client.get(f"{base}/scope/a%2Fb").text)
            assert (told["scheme"], told["raw_path"]) == ("https", "/scope/a%2Fb")
            assert dict(told["headers"])["x-forwarded-for"] == "127.0.0.1"
            large = bytes(8 * 1024 * 1024)
            assert client.post(f"{base}/size", content=large).text == str(len(large))
            with client.stream("GET", f"{base}/slow") as events:
                lines = (line for line in events.iter_lines() if line)
                late = [time.time() - float(next(lines).removeprefix("data: ")) for _ in range(3)]
            assert max(late) < 5, "each event came when it was sent, not with the last"

        async def talk() -> object:
            uri = f"wss://{name}/"
            async with websockets.connect(
                uri, ssl=trusting, host="127.0.0.1", port=front
            ) as socket_:
                await socket_.send("hi")
                return await socket_.recv()

        assert asyncio.run(talk()) == "Echo: hi"
    sys.modules.pop("web", None)
