"""An import that fails here, which is fine, and in the container, which is not."""

import squall

image = squall.Image.debian_slim()
app = squall.App("missing-import", image=image)

with image.imports():
    import a_module_nobody_has  # noqa: F401


@app.function()
def unreachable() -> None:
    pass
