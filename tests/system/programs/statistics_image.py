"""Scenario 2 (b): system packages, numpy and an environment variable."""

import os
import shutil

import squall

image = (
    squall.Image.debian_slim()
    .apt_install("jq", "curl")
    .pip_install("numpy")
    .env({"UNIT": "metres"})
)
app = squall.App("statistics", image=image)


@app.function()
def describe(values: list[float]) -> dict[str, object]:
    import numpy

    array = numpy.array(values)
    return {
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": float(array.mean()),
        "std": float(array.std()),
        "unit": os.environ["UNIT"],
        "tools": [tool for tool in ("jq", "curl") if shutil.which(tool)],
    }
