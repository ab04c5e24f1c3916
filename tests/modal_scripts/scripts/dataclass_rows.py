"""Values of the script's own types go both ways, also large ones."""

from dataclasses import dataclass, field

import modal

app = modal.App("dataclass-rows")


@dataclass
class Row:
    key: str
    values: list[int] = field(default_factory=list)


@app.function()
def summarise(rows: list[Row]) -> dict[str, int]:
    return {row.key: sum(row.values) for row in rows}


@app.function()
def blob(size: int) -> bytes:
    return b"x" * size


@app.local_entrypoint()
def main():
    print("sums", summarise.remote([Row("a", [1, 2]), Row("b", list(range(1000)))]))
    print("megabytes", len(blob.remote(5_000_000)) / 1e6)
