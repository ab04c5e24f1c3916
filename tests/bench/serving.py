"""A model behind a service, beside the model by itself, load from a process of its own."""

import json
import statistics

from tests.bench import serving_app
from tests.bench.figures import Figure
from tests.bench.web import load

ROUNDS = 3
SECONDS = 5.0


async def throughput() -> Figure:
    """Texts a second of 64 clients that wait for one answer each before they ask again."""
    ours, theirs = [], []
    body = json.dumps({"text": serving_app.SENTENCE})
    async with serving_app.app.run():
        url = f"{await serving_app.endpoints.get_web_url.aio()}/predict_sync?model_name=minilm"
        await load("posts", url, body, serving_app.CLIENTS, 1)
        await serving_app.bare.remote.aio(1)
        for _round in range(ROUNDS):
            theirs.append(await serving_app.bare.remote.aio(SECONDS))
            ours.append((await load("posts", url, body, serving_app.CLIENTS, SECONDS))["rate"])
    return Figure(
        name="embeddings over HTTP, 64 clients",
        unit="/s",
        value=statistics.median(ours),
        floor=statistics.median(theirs),
        goal=">= 0.8",
    )
