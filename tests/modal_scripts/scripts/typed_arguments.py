"""Command-line arguments of every kind an entrypoint takes."""

import datetime
from typing import Literal

import modal

app = modal.App("typed-arguments")


@app.local_entrypoint()
def main(
    count: int,
    rate: float = 0.5,
    name: str = "x",
    dry_run: bool = False,
    since: datetime.datetime | None = None,
    mode: Literal["fast", "slow"] = "fast",
):
    year = since.year if since else None
    print("given", count, rate, name, dry_run, year, mode)
