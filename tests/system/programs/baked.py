"""Files copied into an image, a function run while it was built, and imports that may fail here."""

from pathlib import Path

import squall

HERE = Path(__file__).parent


def bake() -> None:
    Path("baked.txt").write_text("baked")


image = (
    squall.Image.debian_slim()
    .add_local_file(HERE / "ping_pong.py", "/root/notes/copied.txt", copy=True)
    .run_function(bake)
    .env({"FLAVOUR": "plum"})
    .add_local_file(HERE / "ping_pong.py", "/root/notes/laid.txt")
)
app = squall.App("baked", image=image)


@app.function()
def look() -> dict[str, object]:
    import os

    return {
        "copied": Path("notes/copied.txt").read_text().splitlines()[0],
        "laid": Path("notes/laid.txt").exists(),
        "baked": Path("baked.txt").read_text(),
        "flavour": os.environ["FLAVOUR"],
    }
