"""A shared cache: who finds nothing computes it, everybody else reads."""

import modal

app = modal.App("dict-cache")
cache = modal.Dict.from_name("script-cache", create_if_missing=True)


@app.function()
def fibonacci(n: int) -> int:
    if n < 2:
        return n
    if n not in cache:
        a, b = 0, 1
        for _ in range(n - 1):
            a, b = b, a + b
        cache[n] = b
    return cache[n]


@app.local_entrypoint()
def main():
    cache.clear()
    print("values", list(fibonacci.map([10, 20, 30])))
    print("kept", sorted(cache.keys()), cache.len())
    print("put", cache.put("flag", 1), cache.put("flag", 2, skip_if_exists=True), cache["flag"])
    print("popped", cache.pop(10), cache.get(10, "gone"))
    with modal.Dict.ephemeral() as scratch:
        scratch.update({"a": 1}, b=2)
        print("scratch", sorted(scratch.items()))
