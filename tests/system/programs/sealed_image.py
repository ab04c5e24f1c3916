"""An image whose steps run with secrets; what they leave of them are digests."""

import hashlib
import os
from pathlib import Path

import squall

NAMES = ("BUILD_OWN", "BUILD_STORED")
SECRETS = [
    squall.Secret.from_local_environ(["BUILD_OWN"]),
    squall.Secret.from_name("build-vault", required_keys=["BUILD_STORED"]),
]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def bake() -> None:
    print("baking with", os.environ["BUILD_OWN"])
    Path("digests.txt").write_text("\n".join(digest(os.environ[name]) for name in NAMES))


app = squall.App(
    "sealed-image",
    image=squall.Image.debian_slim().run_function(bake, secrets=SECRETS, force_build=True),
)


@app.function()
def look() -> tuple[list[str], list[str]]:
    """What the build left, and which of the variables are here."""
    return Path("digests.txt").read_text().split(), [name for name in NAMES if name in os.environ]
