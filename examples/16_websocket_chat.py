"""A chat over WebSockets: all who talk are in one container, so that they hear each other.

pip install websockets && squall run examples/16_websocket_chat.py
"""

from typing import Any

import squall

image = squall.Image.debian_slim().pip_install("fastapi==0.121.2", "flask==3.1.2")
app = squall.App("web-chat", image=image)

with image.imports():
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket


@app.function(max_containers=1, timeout=3600)
@squall.concurrent(max_inputs=1000)
@squall.asgi_app()
def chat() -> Any:
    there: set[WebSocket] = set()

    async def talk(socket: "WebSocket") -> None:
        await socket.accept()
        there.add(socket)
        try:
            async for text in socket.iter_text():
                for each in there:
                    await each.send_text(text)
        finally:
            there.discard(socket)

    return Starlette(routes=[WebSocketRoute("/", talk)])


@app.local_entrypoint()
async def main() -> None:
    import websockets

    url = f"{await chat.get_web_url.aio()}/".replace("http", "ws", 1)
    async with websockets.connect(url) as ada, websockets.connect(url) as grace:
        await ada.send("Ada: anybody there?")
        print(await grace.recv())
        await grace.send("Grace: I hear you")
        await ada.recv()  # her own words
        print(await ada.recv())
