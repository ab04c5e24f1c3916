"""An image in steps: system packages, Python packages, commands, a function, variables."""

import os
import subprocess

import modal


def prepare():
    import fastapi

    os.makedirs("/models", exist_ok=True)
    with open("/models/info.txt", "w") as file:
        file.write(f"prepared with fastapi {fastapi.__version__.split('.')[0]}")


base = (
    modal.Image.debian_slim(python_version="3.11")
    .apt_install("tree")
    .uv_pip_install("fastapi", "flask")
    .run_commands("mkdir -p /opt/data", "echo built > /opt/data/stamp")
    .env({"MODE": "script"})
)
image = base.run_function(prepare)
app = modal.App("image-steps", image=image)

with image.imports():
    import flask


@app.function()
def look() -> list[str]:
    with open("/models/info.txt") as info, open("/opt/data/stamp") as stamp:
        lines = [info.read(), stamp.read().strip(), os.environ["MODE"]]
    version = subprocess.run(["tree", "--version"], capture_output=True, text=True, check=True)
    return [*lines, version.stdout.split()[0], flask.__name__]


@app.local_entrypoint()
def main():
    print(look.remote())
