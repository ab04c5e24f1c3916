"""What fails comes back as itself, what may pass is tried again, what hangs is stopped."""

import time

import squall

app = squall.App("errors")
tries: list[str] = []  # one list in each container


@app.function()
def invert(x: int) -> float:
    return 1 / x


@app.function(retries=squall.Retries(max_retries=2, initial_delay=1.0), max_containers=1)
def flaky() -> str:
    tries.append("again")
    if len(tries) == 1:
        raise ConnectionError("not yet")
    return f"passed at try {len(tries)}"


@app.function(timeout=1)
def hang() -> None:
    time.sleep(60)


@app.local_entrypoint()
def main() -> None:
    try:
        invert.remote(0)
    except ZeroDivisionError as error:
        print(f"error: {error}")
    print(f"retry: {flaky.remote()}")
    try:
        hang.remote()
    except squall.exception.FunctionTimeoutError as error:
        print(f"timeout: {error}")
