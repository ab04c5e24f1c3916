"""Functions on the web: one as an endpoint of its own, and a whole FastAPI app.

squall run examples/13_fastapi.py    (squall deploy keeps them up)
"""

import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-fastapi", image=image)

with image.imports():
    from fastapi import FastAPI


@app.function()
@squall.fastapi_endpoint(docs=True)
def double(x: int) -> dict[str, int]:
    return {"doubled": 2 * x}


@app.function()
@squall.concurrent(max_inputs=100)
@squall.asgi_app()
def shop() -> Any:
    web = FastAPI()

    @web.get("/stock/{item}")
    async def look_up(item: str) -> dict[str, int]:
        return {item: len(item)}

    return web


@app.local_entrypoint()
def main(x: int = 21) -> None:
    for url in (f"{double.get_web_url()}?x={x}", f"{shop.get_web_url()}/stock/tea"):
        print(url, "says", urllib.request.urlopen(url).read().decode())
