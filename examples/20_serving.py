"""A model service: a pipeline in reviews/, all else in 20_serving.yaml.

squall run examples/20_serving.py    (squall init serving writes one to begin with)
"""

import concurrent.futures
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import squall
import squall.serving
from reviews import Rating, Review, Stars

os.environ.setdefault("SQUALL_SERVING_CONFIG", str(Path(__file__).with_suffix(".yaml")))
config = squall.serving.ServiceConfig()
app = squall.App(config.app_name)


@app.cls(**config.get_app_cls_settings())
class Reviews(squall.serving.InferenceService):
    inference_implementation = Stars
    config = config


@app.function(**config.get_handler_settings())
@squall.concurrent(**config.get_handler_concurrency())
@squall.asgi_app(**config.get_asgi_app_settings())
def endpoints() -> Any:
    return squall.serving.create_web_endpoints(Reviews, Review, Rating)


def predict(text: str, model: str = "plain") -> Any:
    address = f"{endpoints.get_web_url()}/predict_sync?model_name={model}"
    request = urllib.request.Request(address, json.dumps({"text": text}).encode())
    request.add_header("content-type", "application/json")
    return json.load(urllib.request.urlopen(request))


@app.local_entrypoint()
def main() -> None:
    for model in ("plain", "keen"):
        print(f"{model}: {predict('good food superb staff', model)['stars']} stars")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        ratings = list(pool.map(predict, ["good " * n for n in range(16)]))
    print(f"stars: {[each['stars'] for each in ratings]}")
    print(f"some ran together: {max(each['batch'] for each in ratings) > 1}")
