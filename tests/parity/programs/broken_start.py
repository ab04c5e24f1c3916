"""Can't be imported in a container."""

import squall

app = squall.App("broken-start")

if not squall.is_local():
    raise RuntimeError("nothing to be had from this module")


@app.function()
def never() -> None:
    """Is never reached."""
