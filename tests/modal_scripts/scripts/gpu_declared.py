"""GPUs and everything else a function may ask for, as model scripts declare it."""

import os

import modal

app = modal.App("gpu-declared")


@app.function(
    gpu=["H100:2", "A100-80GB:2", "any"],
    cpu=8.0,
    memory=(32768, 65536),
    timeout=24 * 60 * 60,
    retries=3,
    ephemeral_disk=512 * 1024,
    experimental_options={"enable_gpu_snapshot": True},
)
def train():
    raise AssertionError("no GPU is needed to declare it")


@app.function(cpu=(0.25, 1.0), memory=(64, 512), region="eu", nonpreemptible=True)
def threads() -> str:
    return os.environ["OMP_NUM_THREADS"]


@app.local_entrypoint()
def main():
    print("threads", threads.remote())
