"""A function whose image nobody else has."""

import os
from pathlib import Path

import squall

image = (
    squall.Image.debian_slim()
    .env({"NONCE": os.environ.get("FETCHED_NONCE", "")})
    .run_commands('echo "made $NONCE" > /made')
)
app = squall.App("fetched", image=image)


@app.function()
def made() -> str:
    return Path("/made").read_text().strip()
