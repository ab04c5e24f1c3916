"""What runs while everything breaks: one function for each promise."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import squall

app = squall.App("chaos")
shelf = squall.Volume.from_name("chaos-shelf", create_if_missing=True)


@app.function(min_containers=1, max_containers=2)
def square(x: int) -> int:
    return x * x


@app.function(max_containers=3)
def double(x: int) -> int:
    time.sleep(0.05)
    return 2 * x


@app.function(max_containers=2)
def count(to: int) -> Iterator[int]:
    for number in range(to):
        time.sleep(0.02)
        yield number


@app.function(max_containers=2)
def later(x: int) -> int:
    time.sleep(0.5)
    return -x


@app.function(volumes={"/shelf": shelf}, max_containers=1)
def write(number: int) -> int:
    both = [Path("/shelf", f"{name}-{number}") for name in ("first", "second")]
    try:
        for path in both:
            path.write_text(str(number))
    except OSError:  # its disk is full
        for path in both:
            path.unlink(missing_ok=True)
        raise
    shelf.commit()
    return number


@app.function(volumes={"/shelf": shelf}, max_containers=1)
def look() -> list[str]:
    shelf.reload()
    return [path.name for path in Path("/shelf").iterdir()]


@app.function(max_containers=2)
@squall.asgi_app()
def greet() -> Any:
    async def answer(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello " + scope["query_string"]})

    return answer
