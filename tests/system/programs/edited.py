"""A web app that says which of its versions answers: those who edit it put that in."""

from typing import Any

import squall

app = squall.App("edited")


@app.function()
@squall.asgi_app()
def site() -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"this is WHICH"})
        else:
            raise NotImplementedError

    return answer
