"""A service of two models that upper-case text, as its settings in serving.yaml have it."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import squall
from pydantic import BaseModel, ConfigDict
from squall.serving import (
    InferenceOutputModel,
    InferencePipeline,
    InferenceService,
    ServiceConfig,
    create_web_endpoints,
)

config = ServiceConfig()
app = squall.App(config.app_name)


class Text(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    language: str


class Translated(InferenceOutputModel):
    translated_text: str
    confidence: float


class Upper(InferencePipeline):
    """Upper-cases texts; some words are poison to it."""

    def __init__(self, *args: Any, confidence: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.confidence = confidence / 100
        self.batches = 0
        self.weights = "none"

    def preprocess(self, input_list: list[Text]) -> dict[str, Any]:
        return {"texts": [each.text for each in input_list]}

    def predict(self, input_list: list[Text], preprocessed_data: dict[str, Any]) -> dict[str, Any]:
        self.batches += 1
        texts = preprocessed_data["texts"]
        if "poison" in texts:
            raise ValueError("poison is no text")
        if "breaker" in texts:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        time.sleep(0.2)
        return {"texts": [text.upper() for text in texts]}

    def postprocess(
        self, input_list: list[Text], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        seen = {"batches": self.batches, "weights": self.weights}
        seen |= {"container": os.environ["SQUALL_TASK_ID"]}
        return [
            Translated.model_validate(
                {"translated_text": text, "confidence": self.confidence, **seen}
            )
            for text in raw_output["texts"]
        ]

    def on_volume_reload(self) -> None:
        weights = Path(self.all_model_data_folder) / "weights.txt"
        if weights.exists():
            self.weights = weights.read_text()
            if self.weights == "broken":
                raise OSError("these weights are broken")


@app.cls(**config.get_app_cls_settings())
class Ranker(InferenceService):
    inference_implementation = Upper
    config = config


@app.function(**config.get_handler_settings())
@squall.concurrent(**config.get_handler_concurrency())
@squall.asgi_app(**config.get_asgi_app_settings())
def endpoints() -> Any:
    return create_web_endpoints(Ranker, Text, Translated)
