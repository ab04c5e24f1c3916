"""Single inputs, gathered into lists for the model."""

import modal

app = modal.App("dynamic-batches")


@app.function(max_containers=1)
@modal.batched(max_batch_size=4, wait_ms=500)
def embed(texts: list[str], dimensions: list[int]) -> list[list[float]]:
    assert len(texts) == len(dimensions)
    return [[float(len(texts))] * size for size in dimensions]


@app.local_entrypoint()
def main():
    found = list(embed.starmap([("a", 1), ("b", 2), ("c", 3), ("d", 1)]))
    print("sizes", [len(vector) for vector in found])
    print("batched", max(vector[0] for vector in found) > 1)
