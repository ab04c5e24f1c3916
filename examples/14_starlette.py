"""A Starlette app as a method of a class: each container loads what it needs once, before requests.

squall run examples/14_starlette.py
"""

import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-starlette", image=image)

with image.imports():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route


@app.cls()
@squall.concurrent(max_inputs=100)
class Greeter:
    @squall.enter()
    def load(self) -> None:
        self.greetings = {"en": "Hello", "fr": "Bonjour"}

    @squall.asgi_app()
    def site(self) -> Any:
        async def greet(request: Any) -> Any:
            word = self.greetings[request.path_params["language"]]
            return PlainTextResponse(f"{word}, {request.query_params['name']}!")

        return Starlette(routes=[Route("/{language}", greet)])


@app.local_entrypoint()
def main(name: str = "Ada") -> None:
    for language in ("en", "fr"):
        url = f"{Greeter().site.get_web_url()}/{language}?name={name}"
        print(urllib.request.urlopen(url).read().decode())
