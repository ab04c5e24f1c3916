"""Retries: something that fails twice and then works, and something that never does."""

import modal

app = modal.App("retry-flaky")
tries = modal.Dict.from_name("script-tries", create_if_missing=True)


@app.function(retries=modal.Retries(max_retries=3, initial_delay=0.0, backoff_coefficient=1.0))
def flaky(key: str) -> int:
    count = tries.get(key, 0) + 1
    tries[key] = count
    if count < 3:
        raise ConnectionError(f"try {count}")
    return count


@app.function(retries=0)
def hopeless():
    raise RuntimeError("never works")


@app.local_entrypoint()
def main():
    tries.clear()
    print("worked at try", flaky.remote("a"))
    try:
        hopeless.remote()
    except RuntimeError as error:
        print("gave up:", error)
