"""The first thing anybody writes: one function, run here, there, and over many inputs."""

import sys

import modal

app = modal.App("hello-args")


@app.function()
def square(x: int) -> int:
    print(f"squaring {x}", file=sys.stderr)
    return x**2


@app.local_entrypoint()
def main(number: int = 12, shout: bool = False):
    here = square.local(number)
    there = square.remote(number)
    total = sum(square.map(range(number)))
    line = f"local={here} remote={there} total={total}"
    print(line.upper() if shout else line)
