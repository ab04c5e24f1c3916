"""Functions on the web: one as an endpoint of its own, and a whole FastAPI app.

squall run examples/13_fastapi.py    and with `squall serve` or `squall deploy` it stays up
"""

import json
import urllib.request
from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-fastapi", image=image)

with image.imports():
    from fastapi import FastAPI, HTTPException


@app.function()
@squall.fastapi_endpoint(docs=True)
def double(x: int) -> dict[str, int]:
    return {"doubled": 2 * x}


@app.function()
@squall.concurrent(max_inputs=100)
@squall.asgi_app()
def shop() -> Any:
    web = FastAPI()
    stock = {"tea": 3}

    @web.get("/stock/{item}")
    async def look_up(item: str) -> dict[str, int]:
        if item not in stock:
            raise HTTPException(404, f"there is no {item}")
        return {item: stock[item]}

    return web


def get(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@app.local_entrypoint()
def main(x: int = 21) -> None:
    print(f"{double.get_web_url()} says", get(f"{double.get_web_url()}?x={x}"))
    print(f"{shop.get_web_url()} says", get(f"{shop.get_web_url()}/stock/tea"))
