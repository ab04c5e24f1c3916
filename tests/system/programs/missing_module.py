"""A module the image does not have."""

import squall

app = squall.App("missing-module")

if not squall.is_local():
    import a_module_nobody_has  # noqa: F401


@app.function()
def unreachable() -> None:
    pass
