"""Servers in containers that are nobody's web endpoints."""

import http.server
import socketserver
import threading
import time
from collections.abc import Iterator

import squall

app = squall.App("tunnelled")


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        said = f"you asked for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


def served(handler: type[socketserver.BaseRequestHandler]) -> int:
    """The port a server of this container listens on."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


@app.function()
def echo() -> Iterator[tuple[str, int]]:
    """Says where it is reached, then goes on for long."""
    with squall.forward(served(Echo), unencrypted=True) as tunnel:
        yield tunnel.tcp_socket
        time.sleep(600)


@app.function()
def page(end: squall.Queue) -> Iterator[str]:
    """The same for HTTP; the tunnel is closed when told to, and the function goes on."""
    port = served(Page)
    with squall.forward(port) as tunnel:
        yield tunnel.url
        try:
            with squall.forward(port):
                yield "twice"
        except squall.exception.InvalidError as error:
            yield str(error)
        end.get()
    yield "closed"
    time.sleep(600)
