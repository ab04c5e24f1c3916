"""Local files and a local package beside the script, brought along with the image."""

from pathlib import Path

import modal
from textkit import words

here = Path(__file__).parent
image = (
    modal.Image.debian_slim()
    .add_local_python_source("textkit")
    .add_local_dir(here / "textkit", "/assets", ignore=["**/*.py", "__pycache__"])
    .add_local_file(here / "textkit" / "poem.txt", "/poems/")
)
app = modal.App("local-files", image=image)


@app.function()
def count() -> dict[str, int]:
    assets = sorted(path.name for path in Path("/assets").iterdir())
    poem = Path("/poems/poem.txt").read_text()
    return {"assets": len(assets), "words": words.count(poem)}


@app.local_entrypoint()
def main():
    print("counted", count.remote())
