"""A Flask app; each of its requests runs in a thread.

squall run examples/15_flask.py
"""

import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-flask", image=image)

with image.imports():
    from flask import Flask, request


@app.function()
@squall.concurrent(max_inputs=20)
@squall.wsgi_app()
def site() -> Any:
    web = Flask(__name__)

    @web.post("/shout")
    def shout() -> str:
        return request.get_data(as_text=True).upper()

    return web


@app.local_entrypoint()
def main(text: str = "can you hear me") -> None:
    with urllib.request.urlopen(f"{site.get_web_url()}/shout", data=text.encode()) as answer:
        print(answer.read().decode())
