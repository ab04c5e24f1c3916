"""A script of some years ago, which nobody has touched since."""

from pathlib import Path

import modal
from modal import Image, Mount, Stub, gpu

stub = Stub("old-spellings")
image = Image.debian_slim().copy_local_file(
    Path(__file__).parent / "textkit/poem.txt", "/root/poem.txt"
)
kit = Mount.from_local_dir(Path(__file__).parent / "textkit", remote_path="/kit")
volume = modal.Volume.persisted("script-old")


@stub.function(
    image=image,
    concurrency_limit=2,
    container_idle_timeout=30,
    keep_warm=0,
    volumes={"/old": volume},
    region="us-east",
    cloud="aws",
)
def words() -> int:
    return len(Path("/root/poem.txt").read_text().split())


@stub.function(mounts=[kit], allow_concurrent_inputs=4)
def files() -> list[str]:
    return sorted(path.name for path in Path("/kit").glob("*.txt"))


@stub.function(gpu=gpu.A100(count=2, size="80GB"))
def never_called():
    """Here to be declared."""


@stub.local_entrypoint()
def main():
    print("words", words.call())
    print("files", files.remote())
