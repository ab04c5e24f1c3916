"""Fire now, collect later, also by id and several at once."""

import time

import modal
from modal.functions import FunctionCall

app = modal.App("spawn-and-poll")


@app.function()
def slow_double(x: int, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return 2 * x


@app.local_entrypoint()
def main():
    waiting = slow_double.spawn(21, seconds=1.0)
    try:
        waiting.get(timeout=0)
    except TimeoutError:
        print("not ready")
    print("ready", waiting.get())
    again = FunctionCall.from_id(waiting.object_id)
    print("again", again.get(timeout=30))
    calls = [slow_double.spawn(x) for x in range(5)]
    print("gathered", modal.FunctionCall.gather(*calls))
