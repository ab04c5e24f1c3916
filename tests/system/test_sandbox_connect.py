"""HTTP and WebSocket clients that reach a server in a sandbox with a connect token."""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import squall
from squall.exception import InvalidError, NotFoundError

from .conftest import Server, connected_to

SERVER = """
import hashlib, base64, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, body)

    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            self.talk()
        else:
            told = [self.path, self.headers.get("X-Verified-User-Data", "-"),
                    self.headers.get("Authorization", "-"), self.headers.get("X-Own", "-")]
            self.answer(200, "\\n".join(told).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-From", "inside")
        self.end_headers()
        self.wfile.write(body)

    def talk(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.wfile.write(("HTTP/1.1 101 S\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n"
                          "Sec-WebSocket-Accept: " + accept + "\\r\\n\\r\\n").encode())
        while True:
            first, second = self.rfile.read(2)
            mask = self.rfile.read(4)
            data = bytes(byte ^ mask[n % 4] for n, byte in enumerate(self.rfile.read(second & 127)))
            self.wfile.write(bytes([first, len(data)]) + data)
            if first & 15 == 8:
                break
        self.close_connection = True

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def app(server: Server) -> Iterator[squall.App]:
    with connected_to(server.ready["url"], server.ready["credentials"], server.runtime):
        yield squall.App.lookup("connected", create_if_missing=True)


def serving(app: squall.App, port: int, **options: Any) -> squall.Sandbox:
    made = squall.Sandbox.create(
        "python", "-c", SERVER, str(port),
        readiness_probe=squall.Probe.with_tcp(port), app=app, **options,
    )  # fmt: skip
    made.wait_until_ready(timeout=60)
    return made


async def spoken(url: str, words: list[str]) -> list[str]:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        heard = []
        for word in words:
            await socket.send_str(word)
            heard.append(str(await socket.receive_str()))
        return heard


def test_token_opens_one_port_of_one_sandbox_while_that_lives(app: squall.App) -> None:
    sandbox = serving(app, 8771)
    url, token = sandbox.create_connect_token({"user": "ada"}, port=8771)
    with httpx.Client(headers={"Authorization": f"Bearer {token}", "X-Own": "kept"}) as client:
        lied = {"X-Verified-User-Data": "somebody else"}
        answer = client.get(f"{url}/a%20b/?x=1&z=%2F", headers=lied)
        assert answer.text.split("\n") == ["/a%20b/?x=1&z=%2F", '{"user": "ada"}', "-", "kept"]
        assert answer.headers["x-from"] == "inside"
        assert "sandbox" in answer.headers["content-security-policy"]
        body = b"0123456789" * 100_000
        answer = client.post(f"{url}/up", content=body)
        assert (answer.status_code, answer.content) == (201, body)
        assert client.post(url, content=iter([b"by ", b"parts"])).text == "by parts"
        assert client.get(url).text.startswith("/\n")
    own = {"Authorization": "Bearer of-the-app"}
    asked = httpx.get(url, params={"_squall_connect_token": token}, headers=own)
    assert asked.text.split("\n") == ["/", '{"user": "ada"}', "Bearer of-the-app", "-"]

    _, silent = sandbox.create_connect_token(port=8771)
    lied["Authorization"] = f"Bearer {silent}"
    assert httpx.get(url, headers=lied).text.split("\n") == ["/", "-", "-", "-"]

    in_query = f"{url}/ws?_modal_connect_token={token}".replace("http", "ws", 1)
    assert asyncio.run(spoken(in_query, ["one", "two"])) == ["one", "two"]

    other = squall.Sandbox.create(app=app)
    assert other.exec("true").wait() == 0
    theirs = other.create_connect_token(port=8773)
    for wrong in ("", token[:-2] + "AA", theirs.token, "é", "x" * 5000):
        asked = httpx.get(url, params={"_squall_connect_token": wrong})
        assert asked.status_code == 401, wrong[:10]
    closed = httpx.get(theirs.url, headers={"Authorization": f"Bearer {theirs.token}"})
    assert (closed.status_code, "8773" in closed.text) == (502, True)
    other.terminate()

    sandbox.terminate(wait=True)
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    with pytest.raises(NotFoundError):
        sandbox.create_connect_token()


def test_networks_that_may_not_connect_may_not_with_a_token_either(app: squall.App) -> None:
    sandbox = serving(app, 8772, inbound_cidr_allowlist=["192.0.2.0/24"])
    url, token = sandbox.create_connect_token(port=8772)
    assert httpx.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 403
    with pytest.raises(InvalidError, match="port"):
        sandbox.create_connect_token(port=0)
    with pytest.raises(InvalidError, match="one line"):
        sandbox.create_connect_token("two\nlines")
    with pytest.raises(InvalidError, match="JSON"):
        sandbox.create_connect_token({"what": object()})
    sandbox.terminate()
