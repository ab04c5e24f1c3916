"""Images a project describes itself: what its pyproject.toml asks for, and its own Dockerfile."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import modal

PROJECT = Path(__file__).parent / "project"
synced = modal.Image.debian_slim(python_version="3.11").uv_sync(PROJECT, groups=["dev"])
written = modal.Image.from_dockerfile(PROJECT / "Dockerfile", context_dir=PROJECT)
app = modal.App("own-images")


def installed(name: str) -> bool:
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


@app.function(image=synced)
def packages() -> list[bool]:
    return [installed(name) for name in ("six", "idna", "project")]


@app.function(image=written)
def note() -> tuple[str, str, list[str]]:
    return os.environ["STAGE"], Path("note.txt").read_text().strip(), sorted(os.listdir())


@app.local_entrypoint()
def main():
    print("synced", packages.remote())
    print("written", note.remote())
