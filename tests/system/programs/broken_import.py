"""A program whose container can't be made ready."""

import squall

app = squall.App("broken-import")

if not squall.is_local():
    raise RuntimeError("the model file is missing")


@app.function(retries=1)
def predicts() -> int:
    return 1
