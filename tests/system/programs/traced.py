"""Calls that make calls, and a web endpoint."""

from typing import Any

import squall

app = squall.App("traced")


@app.function()
def inner(x: int) -> int:
    return x + 1


@app.function()
def outer(x: int) -> int:
    return inner.remote(x) * 10


@app.function()
def fails() -> None:
    raise ValueError("as it should")


@app.function()
@squall.asgi_app()
def site() -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            body = str(await inner.remote.aio(1)).encode()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    return answer


@app.local_entrypoint()
def main() -> None:
    assert outer.remote(4) == 50
    assert list(inner.map(range(3))) == [1, 2, 3]
    try:
        fails.remote()
    except ValueError as error:
        print(error)
    import urllib.request

    request = urllib.request.Request(
        site.get_web_url() or "",
        headers={"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        print(answer.read())
