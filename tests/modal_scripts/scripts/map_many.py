"""Fan out: map, starmap, order, shared keyword arguments, failures kept as values."""

import modal

app = modal.App("map-many")


@app.function()
def scale(x: int, factor: int = 1) -> int:
    return x * factor


@app.function()
def area(width: int, height: int) -> int:
    return width * height


@app.function()
def inverse(x: int) -> float:
    return 1 / x


@app.local_entrypoint()
def main():
    print("scaled", list(scale.map([1, 2, 3], kwargs={"factor": 10})))
    print("areas", list(area.starmap([(2, 3), (4, 5)])))
    print("any order", sorted(scale.map(range(20), order_outputs=False))[-1])
    print("none", list(scale.map([])))
    outcomes = list(inverse.map([1, 0, 2], return_exceptions=True))
    print("kept", [type(each).__name__ for each in outcomes])
    try:
        list(inverse.map([4, 0]))
    except ZeroDivisionError as error:
        print("raised", error)
