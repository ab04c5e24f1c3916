"""A volume: files put from here, written there, committed, reloaded and read back."""

import io
import os

import modal

app = modal.App("volume-notes")
volume = modal.Volume.from_name("script-notes", create_if_missing=True)
PLACE = "/notes"


@app.function(volumes={PLACE: volume})
def write(name: str, text: str):
    os.makedirs(f"{PLACE}/out", exist_ok=True)
    with open(f"{PLACE}/out/{name}", "w") as file:
        file.write(text)
    volume.commit()


@app.function(volumes={PLACE: volume})
def read_all() -> dict[str, str]:
    volume.reload()
    found = {}
    for folder, _, files in os.walk(PLACE):
        for name in files:
            with open(os.path.join(folder, name)) as file:
                found[name] = file.read()
    return found


@app.local_entrypoint()
def main():
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"from here"), "/in/first.txt")
    write.remote("second.txt", "from there")
    print("seen", sorted(read_all.remote().items()))
    print("listed", sorted(entry.path for entry in volume.listdir("/", recursive=True)))
    print("read", b"".join(volume.read_file("out/second.txt")).decode())
    volume.remove_file("/in/first.txt")
    print("left", [entry.path for entry in volume.iterdir("/in")])
