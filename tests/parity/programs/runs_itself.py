"""Runs its app where a container imports it, too."""

import squall

app = squall.App("runs-itself")


@app.function()
def never() -> None:
    """Is never reached."""


if not squall.is_local():
    with app.run():
        never.remote()
