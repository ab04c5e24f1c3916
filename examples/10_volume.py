"""Files that outlive containers: a volume, written by one function and read by another."""

from pathlib import Path

import squall

app = squall.App("10_volume")
volume = squall.Volume.from_name("example-notes", create_if_missing=True)


@app.function(volumes={"/notes": volume})
def write(name: str, text: str) -> None:
    (Path("/notes") / name).write_text(text)
    volume.commit()  # others see it from now on; without it, when this container ends


@app.function(volumes={"/notes": volume.read_only()})
def read(name: str) -> str:
    volume.reload()  # a container sees what was committed when it started, or reloaded
    return (Path("/notes") / name).read_text()


@app.local_entrypoint()
def main() -> None:
    write.remote("haiku.txt", "an old silent pond")
    print("read by another container:", read.remote("haiku.txt"))

    with volume.batch_upload(force=True) as batch:  # from here, without a container
        batch.put_file(Path(__file__), "/code/10_volume.py")
    print("the volume holds:", [entry.path for entry in volume.listdir("/", recursive=True)])

    squall.Volume.delete("example-notes")
