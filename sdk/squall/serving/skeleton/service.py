"""A model behind HTTP routes. Settings: serving.yaml.

squall serve service.py     while you work on it
squall deploy service.py    to keep it up
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

import squall
from squall.serving import (
    InferenceOutputModel,
    InferencePipeline,
    InferenceService,
    ServiceConfig,
    create_web_endpoints,
)

config = ServiceConfig()
app = squall.App(config.app_name)


class Review(BaseModel):
    """What callers send."""

    text: str


class Rating(InferenceOutputModel):
    """What they get, besides `status`, `error` and `meta`."""

    stars: float


class Stars(InferencePipeline):
    """Counts good words. Put your model in its place."""

    def __init__(self, *args: Any, good_words: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # load the model here, once in each container
        self.good_words = frozenset(good_words)

    def preprocess(self, input_list: list[Review]) -> dict[str, Any]:
        return {"words": [each.text.lower().split() for each in input_list]}

    def predict(
        self, input_list: list[Review], preprocessed_data: dict[str, Any]
    ) -> dict[str, Any]:
        batch = preprocessed_data["words"]
        return {"good": [sum(word in self.good_words for word in words) for words in batch]}

    def postprocess(
        self, input_list: list[Review], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        return [Rating(stars=min(5.0, 1.0 + good)) for good in raw_output["good"]]


@app.cls(**config.get_app_cls_settings())
class Reviews(InferenceService):
    inference_implementation = Stars
    config = config


@app.function(**config.get_handler_settings())
@squall.concurrent(**config.get_handler_concurrency())
@squall.asgi_app(**config.get_asgi_app_settings())
def endpoints() -> Any:
    return create_web_endpoints(Reviews, Review, Rating)
