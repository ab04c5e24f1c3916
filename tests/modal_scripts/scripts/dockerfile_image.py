"""An image from the files a project has already: its requirements, and lines of its Dockerfile."""

import os
from importlib.metadata import version
from pathlib import Path

import modal

PROJECT = Path(__file__).parent / "project"
image = (
    modal.Image.debian_slim(python_version="3.11")
    .pip_install_from_requirements(str(PROJECT / "requirements.txt"))
    .dockerfile_commands(
        ["COPY settings.ini /srv/settings.ini", "ENV STAGE=docker", "WORKDIR /srv"],
        context_dir=PROJECT,
    )
)
app = modal.App("dockerfile-image")


@app.function(image=image)
def look() -> tuple[str, str, str, bool]:
    title = Path("settings.ini").read_text().split()[-1]
    return os.getcwd(), os.environ["STAGE"], title, version("six") >= "1"


@app.local_entrypoint()
def main():
    print("image", look.remote())
