"""Timeouts: too slow is an exception of its own, and the container goes on."""

import time

import modal
import modal.exception

app = modal.App("time-limits")


@app.function(timeout=1)
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@app.local_entrypoint()
def main():
    try:
        nap.remote(30)
    except modal.exception.FunctionTimeoutError as error:
        print("too slow:", isinstance(error, modal.exception.TimeoutError))
    print(nap.remote(0))
