"""What clients in other languages call."""

import datetime
import time
from collections.abc import Iterator

import squall

app = squall.App("rest")


@app.function(max_containers=1)
def total(numbers: list[float], *, scale: float = 1.0) -> dict[str, object]:
    return {"total": sum(numbers) * scale, "kind": type(numbers).__name__}


@app.function(max_containers=1)
def lines(count: int) -> Iterator[dict[str, int]]:
    for at in range(count):
        yield {"line": at}


@app.function(max_containers=1)
def odd(what: str) -> object:
    if what == "raise":
        raise LookupError("nothing is there")
    if what == "sleep":
        time.sleep(60)
    return {"date": datetime.date(2026, 1, 2), "set": object() if what == "object" else {1}}


@app.cls(max_containers=1)
class Greeter:
    word: str = squall.parameter(default="hello")

    @squall.method()
    def greet(self, name: str) -> str:
        return f"{self.word}, {name}"
