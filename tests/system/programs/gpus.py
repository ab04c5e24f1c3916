"""Functions that ask for GPUs and say which they were given."""

import os
import time

import squall

app = squall.App("gpus")


@app.function(gpu="H100", scaledown_window=2)
def on_h100(seconds: float) -> str:
    time.sleep(seconds)
    return os.environ["NVIDIA_VISIBLE_DEVICES"]


@app.function(gpu=["B200", "A100"], scaledown_window=2)
def with_fallback() -> str:
    return os.environ["NVIDIA_VISIBLE_DEVICES"]


@app.function(gpu="any:2", scaledown_window=2)
def any_two() -> tuple[str, str]:
    return os.environ["NVIDIA_VISIBLE_DEVICES"], os.environ["CUDA_VISIBLE_DEVICES"]


@app.function(gpu="B200")
def impossible() -> None:
    """Never begins."""


@app.function(scaledown_window=2)
def without() -> str:
    return os.environ["NVIDIA_VISIBLE_DEVICES"]
