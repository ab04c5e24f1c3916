"""An app that others include."""

import modal

app = modal.App("textkit")


@app.function()
def reverse(text: str) -> str:
    return text[::-1]
