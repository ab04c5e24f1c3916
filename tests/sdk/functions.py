"""Functions the tests of the SDK run on the stand-in guest."""

from collections.abc import Iterator

from squall.app import App

app = App("sdk-tests")


class OddError(ValueError):
    """An exception of the user's own."""


@app.function()
def square(x: int) -> int:
    return x * x


@app.function()
async def half(x: float) -> float:
    return x / 2


@app.function()
def add(a: int, b: int = 10) -> int:
    return a + b


@app.function()
def fail_if_odd(x: int) -> int:
    if x % 2:
        raise OddError(f"{x} is odd")
    return x


@app.function(retries=2)
def retried(x: int) -> int:
    return x


@app.function()
def count_to(n: int) -> Iterator[int]:
    yield from range(1, n + 1)


@app.function()
def fail_after(n: int) -> Iterator[int]:
    yield from range(n)
    raise OddError("the end")


@app.function()
def blob(size: int) -> bytes:
    return b"x" * size


@app.function()
def size_of(data: bytes) -> int:
    return len(data)


@app.function()
def who() -> tuple[str | None, str | None]:
    from squall import current_function_call_id, current_input_id

    return current_input_id(), current_function_call_id()


@app.function()
def lock() -> object:
    import threading

    return threading.Lock()
