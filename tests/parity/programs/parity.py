"""Functions and classes that the checklist's tests call. Paths given are on this machine's disk."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import squall

app = squall.App("parity")
other = squall.App("parity-other")


class OwnError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class LeavesTheFunction(BaseException):
    """Not an Exception."""


def count(path: str) -> int:
    """How often it was asked with that path, this time included."""
    with open(path, "ab") as file:
        file.write(b".")
    return os.path.getsize(path)


@app.function()
def double(x: int, offset: int = 0) -> int:
    return 2 * x + offset


@app.function()
def in_a_sandbox(text: str) -> tuple[str, str]:
    """The id of a sandbox that was made here, and what it printed."""
    sandbox = squall.Sandbox.create("echo", text)
    sandbox.wait()
    return sandbox.object_id, sandbox.stdout.read()


@app.function()
def waiting_sandbox() -> str:
    return squall.Sandbox.create().object_id


@app.function(name="renamed")
def own_name() -> str:
    return squall.current_input_id() or ""


@app.function()
def add(a: int, b: int) -> int:
    return a + b


@app.function()
def same(value: Any) -> Any:
    return value


@app.function()
def describe(value: Any) -> str:
    return type(value).__name__


@app.function()
def raises(what: str) -> None:
    if what == "own":
        raise OwnError(7)
    if what == "base":
        raise LeavesTheFunction("left")
    if what == "exit":
        raise SystemExit(3)
    if what == "large":
        raise ValueError("x" * 10_000_000)
    raise ValueError(what)


@app.function()
def calls(function: Any, x: int) -> int:
    return int(function.remote(x))


@app.function()
def maps_generated(n: int) -> list[int]:
    return list(double.map(number for number in range(n)))


@app.function()
def letters(word: str, fail_at: int, cleaned: str) -> Iterator[str]:
    try:
        for position, letter in enumerate(word):
            if position == fail_at:
                raise OwnError(position)
            yield letter
    finally:
        Path(cleaned).write_text("cleaned")


@app.function()
async def numbers(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


@app.function(retries=squall.Retries(max_retries=2, initial_delay=1.0, backoff_coefficient=1.0))
def fails_until(path: str, good: int) -> int:
    tried = count(path)
    if tried < good:
        raise ValueError(f"try {tried}")
    return tried


@app.function(retries=3)
def waits_to_be_cancelled(path: str) -> None:
    count(path)
    time.sleep(600)


@app.function()
def dies_once(path: str) -> int:
    tried = count(path)
    if tried == 1:
        os._exit(9)
    return tried


@app.function()
def interrupted_once(path: str) -> int:
    tried = count(path)
    if tried == 1:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return tried


@app.function()
def where() -> dict[str, Any]:
    return {
        "main thread": threading.current_thread() is threading.main_thread(),
        "local": squall.is_local(),
        "pid": os.getpid(),
    }


@app.function(timeout=1)
def naps(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@app.function(max_containers=1)
@squall.concurrent(max_inputs=4)
async def meets(name: str, path: str) -> str:
    count(path)
    if name == "stays":
        while os.path.getsize(path) < 3:
            await asyncio.sleep(0.01)
        return name
    await asyncio.sleep(600)
    return "never"


@app.function(max_containers=1)
@squall.concurrent(max_inputs=5, target_inputs=5)
def thread_of(path: str) -> int:
    count(path)
    while os.path.getsize(path) < 3:
        time.sleep(0.01)
    return threading.get_ident()


@app.function(max_containers=1)
@squall.batched(max_batch_size=50, wait_ms=100)
def in_batches(x: list[int], y: list[int]) -> list[tuple[int, int]]:
    if -1 in x:
        return []
    return [(a + b, len(x)) for a, b in zip(x, y, strict=True)]


volume = squall.Volume.from_name("parity-notes", create_if_missing=True)


@app.function(volumes={"/notes": volume}, single_use_containers=True)
def writes(name: str, fail: bool) -> None:
    Path("/notes", name).write_text(name)
    if fail:
        raise ValueError(name)


@app.cls()
class Counter:
    start: int = squall.parameter(default=1)
    label: str = squall.parameter(default="plain")

    @squall.enter()
    def begin(self) -> None:
        self.value = self.start

    @squall.method()
    def bump(self, by: int = 1) -> int:
        self.value += by
        return self.value

    @squall.method()
    async def described(self) -> str:
        return f"{self.label}:{self.start}"

    def plain(self) -> str:
        return f"plain {self.start}"


@app.cls(scaledown_window=2)
class Hooked:
    path: str = squall.parameter()

    @squall.enter()
    def first(self) -> None:
        self.order = ["sync enter"]

    @squall.enter()
    async def second(self) -> None:
        self.loop = id(asyncio.get_running_loop())
        self.order.append("async enter")

    @squall.method()
    async def run(self) -> tuple[list[str], bool]:
        return self.order, id(asyncio.get_running_loop()) == self.loop

    @squall.exit()
    async def leave(self) -> None:
        same_loop = id(asyncio.get_running_loop()) == self.loop
        Path(self.path).write_text(f"async exit {same_loop}")


@app.cls()
class EnterInterrupted:
    path: str = squall.parameter()

    @squall.enter()
    def begin(self) -> None:
        if count(self.path) == 1:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

    @squall.method()
    def tries(self) -> int:
        return os.path.getsize(self.path)


@app.cls(enable_memory_snapshot=True)
class Snapped:
    @squall.enter(snap=True)
    def ahead(self) -> None:
        self.seen = ["snap"]

    @squall.enter()
    def after(self) -> None:
        self.seen.append(os.environ["SQUALL_TASK_ID"])

    @squall.method()
    def state(self) -> tuple[list[str], str, int]:
        return self.seen, os.environ["SQUALL_TASK_ID"], double.remote(4)


@other.function()
def of_the_other() -> str:
    return "other"


def undecorated() -> str:
    return "private"


_privately = app.function()(undecorated)
app.include(other)
