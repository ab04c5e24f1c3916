"""What a person does from a shell in one afternoon."""

import os
from pathlib import Path

import squall

app = squall.App("tour")


@app.function(
    secrets=[squall.Secret.from_name("tour")],
    volumes={"/data": squall.Volume.from_name("tour", create_if_missing=True)},
)
def where() -> str:
    print("where was called")
    read = Path("/data/note.txt").read_text() if Path("/data/note.txt").exists() else "nothing"
    return f"{os.environ['GREETING']} in {os.environ['SQUALL_ENVIRONMENT']}, read {read}"


@app.local_entrypoint()
def main(name: str) -> None:
    print(f"Hello, {name}!")
