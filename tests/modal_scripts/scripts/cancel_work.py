"""Work that is called off: its waiter learns it, the container takes the next input."""

import time

import modal
from modal.exception import RemoteError

app = modal.App("cancel-work")
begun = modal.Queue.from_name("script-begun", create_if_missing=True)


@app.function(max_containers=1)
def work(seconds: float) -> str:
    begun.put(True)
    time.sleep(seconds)
    return "finished"


@app.local_entrypoint()
def main():
    begun.clear()
    call = work.spawn(600)
    begun.get(timeout=60)
    call.cancel()
    try:
        call.get()
    except RemoteError:
        print("called off")
    print("then", work.remote(0))
