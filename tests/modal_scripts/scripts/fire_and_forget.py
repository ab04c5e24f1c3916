"""Effects without results: for_each, spawn_map, and what they leave in a dict."""

import modal

app = modal.App("fire-and-forget")
seen = modal.Dict.from_name("script-seen", create_if_missing=True)
done = modal.Queue.from_name("script-done", create_if_missing=True)


@app.function()
def note(name: str):
    seen[name] = True
    done.put(name)


@app.local_entrypoint()
def main():
    seen.clear()
    done.clear()
    note.for_each(["a", "b"])
    print("after for_each", sorted(seen.keys()))
    note.spawn_map(["c", "d"])
    names = sorted(done.get(timeout=60) for _ in range(4))
    print("after spawn_map", names)
