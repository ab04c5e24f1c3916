"""Scenario 2 (a): packages from an index, used in the container and in a sandbox."""

import functools
import http.server
import threading

import squall

image = squall.Image.debian_slim().pip_install("requests", "numpy")
app = squall.App("dependencies", image=image)

with image.imports():
    import requests


@app.function()
def fetch(length: int) -> int:
    """Serve a page of `length` bytes to itself and fetch it with the installed package."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"x" * length)

    server = http.server.HTTPServer(("127.0.0.1", 0), functools.partial(Page))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        return len(requests.get(f"http://127.0.0.1:{server.server_port}/", timeout=10).content)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
