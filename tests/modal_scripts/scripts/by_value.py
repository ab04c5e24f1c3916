"""Functions that are made while the script runs go by value."""

import modal

app = modal.App("by-value")


def make_adder(amount: int):
    @app.function(serialized=True, name=f"add_{amount}")
    def add(x: int) -> int:
        return x + amount

    return add


add_two = make_adder(2)
add_ten = make_adder(10)


@app.local_entrypoint()
def main():
    print("sums", add_two.remote(1), add_ten.remote(1))
    print("apply", apply.remote(lambda x: x * 3, 7))


@app.function()
def apply(function, value):
    return function(value)
