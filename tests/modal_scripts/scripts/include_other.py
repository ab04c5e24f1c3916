"""An app out of two modules: functions of the included one are called across."""

import modal
from textkit import extra

image = modal.Image.debian_slim().add_local_python_source("textkit")
app = modal.App("include-other", image=image)
app.include(extra.app)


@app.function()
def report(text: str) -> str:
    return f"{extra.reverse.remote(text)} ({len(text)})"


@app.local_entrypoint()
def main():
    print("report", report.remote("stressed"))
    print("direct", extra.reverse.remote("live"))
