"""Exceptions of the script's own cross over with their fields."""

import modal

app = modal.App("own-exceptions")


class BadRow(Exception):
    def __init__(self, row: int, why: str):
        super().__init__(row, why)
        self.row = row
        self.why = why


@app.function()
def check(rows: list[int]):
    for number, value in enumerate(rows):
        if value < 0:
            raise BadRow(number, "below zero")
    return "clean"


@app.local_entrypoint()
def main():
    print(check.remote([1, 2]))
    try:
        check.remote([1, -1])
    except BadRow as error:
        print("row", error.row, error.why)
