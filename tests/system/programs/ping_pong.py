"""Scenario 1: small functions, one of which calls itself through the platform."""

import sys

import squall

app = squall.App("ping-pong")


@app.function()
def square(x: int) -> int:
    print("noise on stdout", 42)
    print("noise on stderr", file=sys.stderr)
    return x * x


@app.function()
def hello(name: str) -> str:
    return f"Hello, {name}!"


@app.function(max_containers=4)
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci.local(n - 1) + fibonacci.local(n - 2)


@app.function()
def sum_squares(numbers: list[int]) -> int:
    return sum(square.map(numbers))
