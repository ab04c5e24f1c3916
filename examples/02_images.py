"""A function with packages of its own; its image is built once and found again by its recipe.

squall run examples/02_images.py
"""

import os

import squall

image = squall.Image.debian_slim().pip_install("humanize==4.12.3").env({"UNIT": "bytes"})
app = squall.App("images", image=image)

with image.imports():  # there in the container; here it may be missing
    import humanize


@app.function()
def describe(size_bytes: int) -> str:
    exact = f"{humanize.intcomma(size_bytes)} {os.environ['UNIT']}"
    return f"{humanize.naturalsize(size_bytes)}, exactly {exact}"


@app.local_entrypoint()
def main(size_bytes: int = 3_000_000) -> str:
    text = describe.remote(size_bytes)
    print(text)
    return text
