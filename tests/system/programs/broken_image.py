"""An image that can't be built."""

import squall

image = squall.Image.debian_slim().pip_install("this-package-does-not-exist-anywhere==0.0.0")
app = squall.App("broken-image", image=image)


@app.function()
def unreachable() -> None:
    pass
