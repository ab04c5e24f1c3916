"""A chat over WebSockets: all who talk are in one container, so that they hear each other.

pip install websockets && squall run examples/16_websocket_chat.py
"""

from typing import Any

import squall

app = squall.App("web-chat")


@app.function(max_containers=1, timeout=3600)
@squall.concurrent(max_inputs=1000)
@squall.asgi_app()
def chat() -> Any:
    there: list[Any] = []

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and (await receive())["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
            there.append(send)
            while (message := await receive())["type"] == "websocket.receive":
                for tell in there:
                    await tell({"type": "websocket.send", "text": message["text"]})
            there.remove(send)

    return talk


@app.local_entrypoint()
async def main() -> None:
    import websockets

    url = f"{await chat.get_web_url.aio()}/".replace("http", "ws", 1)
    async with websockets.connect(url) as ada, websockets.connect(url) as grace:
        await ada.send("Ada: anybody there?")
        print(await grace.recv())
        await grace.send("Grace: I hear you")
        print([await ada.recv(), await ada.recv()][1])  # the first are her own words
