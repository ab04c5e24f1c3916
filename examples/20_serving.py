"""A model service: a pipeline in Python, all else in 20_serving.yaml.

squall run examples/20_serving.py    (squall init serving writes one to begin with)
"""

import concurrent.futures
import json
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("SQUALL_SERVING_CONFIG", str(Path(__file__).with_suffix(".yaml")))

import squall
from pydantic import BaseModel
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
    text: str


class Rating(InferenceOutputModel):
    stars: int
    batch: int


class Stars(InferencePipeline):
    def __init__(self, *args: Any, good_words: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.good_words = frozenset(good_words)

    def preprocess(self, input_list: list[Review]) -> dict[str, Any]:
        return {"words": [each.text.split() for each in input_list]}

    def predict(
        self, input_list: list[Review], preprocessed_data: dict[str, Any]
    ) -> dict[str, Any]:
        batch = preprocessed_data["words"]
        return {"good": [sum(word in self.good_words for word in words) for words in batch]}

    def postprocess(
        self, input_list: list[Review], raw_output: dict[str, Any]
    ) -> Sequence[InferenceOutputModel]:
        most, size = self.common_settings["most"], len(input_list)
        return [Rating(stars=min(most, 1 + good), batch=size) for good in raw_output["good"]]


@app.cls(**config.get_app_cls_settings())
class Reviews(InferenceService):
    inference_implementation = Stars
    config = config


@app.function(**config.get_handler_settings())
@squall.concurrent(**config.get_handler_concurrency())
@squall.asgi_app(**config.get_asgi_app_settings())
def endpoints() -> Any:
    return create_web_endpoints(Reviews, Review, Rating)


def post(path: str, what: object) -> Any:
    request = urllib.request.Request(
        f"{endpoints.get_web_url()}{path}",
        data=json.dumps(what).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@app.local_entrypoint()
def main() -> None:
    for model in ("plain", "keen"):
        rating = post(f"/predict_sync?model_name={model}", {"text": "good food superb staff"})
        print(f"{model}: {rating['stars']} stars")

    job = post("/predict_async?model_name=plain", {"message": {"text": "great great"}})
    while (read := json.load(job_of(job["job_id"])))["state"] == "pending":
        pass
    print(f"later: {read['output']['stars']} stars")

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        reviews = [{"text": "good " * n} for n in range(16)]
        ratings = list(pool.map(lambda each: post("/predict_sync?model_name=plain", each), reviews))
    print(f"stars: {[each['stars'] for each in ratings]}")
    print(f"some ran together: {max(each['batch'] for each in ratings) > 1}")


def job_of(job_id: str) -> Any:
    return urllib.request.urlopen(f"{endpoints.get_web_url()}/jobs/{job_id}")
