"""Functions that share dicts and queues: by name, captured by their module, and as arguments."""

import queue

import squall

app = squall.App("sharing")
counts = squall.Dict.from_name("sharing-counts", create_if_missing=True)
tasks = squall.Queue.from_name("sharing-tasks", create_if_missing=True)


@app.function()
def remember(key: str, value: object, ttl: float | None = None) -> bool:
    return counts.put(key, value, ttl=ttl)


@app.function()
async def recall(key: str) -> object:
    return await counts.get.aio(key, "nothing")


@app.function()
def work(results: squall.Queue, done: squall.Dict) -> int:
    """Take tasks until there are none for a second; returns how many it took."""
    took = 0
    while True:
        try:
            task = tasks.get(timeout=1.0)
        except queue.Empty:
            return took
        done[task] = True
        results.put(task * task)
        took += 1


@app.function()
def made_inside(values: list[int]) -> squall.Queue:
    """A handle made in one container is used in another place."""
    made = squall.Queue.from_name("sharing-made", create_if_missing=True)
    made.put_many(values, partition="p")
    return made


@app.function()
def large(size: int) -> int:
    counts["large"] = bytes(size)
    return len(counts["large"])
