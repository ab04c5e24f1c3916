"""A GPU: ask for one by type, with what else will do; where there is none, the error says so.

squall run examples/09_gpu.py
"""

import subprocess

import squall

app = squall.App("gpu")


@app.function(gpu=["H100", "A100-80GB", "any"])
def which_gpu() -> str:
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    return listed.stdout.strip()


@app.local_entrypoint()
def main() -> None:
    try:
        print("it ran on", which_gpu.remote())
    except squall.exception.Error as error:
        print(f"it can't run here: {error}")
