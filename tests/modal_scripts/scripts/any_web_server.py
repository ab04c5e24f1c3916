"""Whatever listens on a port is a web server."""

import pathlib
import subprocess

import modal

app = modal.App("any-web-server")


@app.function()
@modal.concurrent(max_inputs=10)
@modal.web_server(8000, startup_timeout=20)
def files():
    pathlib.Path("/tmp/site").mkdir(exist_ok=True)
    pathlib.Path("/tmp/site/index.html").write_text("<h1>served</h1>")
    subprocess.Popen("python -m http.server -d /tmp/site 8000", shell=True)
