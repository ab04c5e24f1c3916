"""A function that runs in a container.

squall run examples/01_hello.py
squall run examples/01_hello.py --name you
"""

import platform

import squall

app = squall.App("hello")


@app.function()
def greet(name: str) -> str:
    print(f"greeting {name} from {platform.node()}")
    return f"Hello, {name}!"


@app.local_entrypoint()
def main(name: str = "world") -> str:
    greeting = greet.remote(name)
    print(greeting)
    return greeting
