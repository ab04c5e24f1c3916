"""Scenario 9: a service of two models, its routes called over HTTP, its outcomes sent to queues."""

import asyncio
import io
import json
import queue as plain_queue
import time
import uuid
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
import squall

from tests.system.conftest import PROGRAMS, Program


@pytest.fixture
def service(program: Program, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("SQUALL_SERVING_CONFIG", str(PROGRAMS / "serving.yaml"))
    return program("serving")


@pytest.fixture
def client(service: ModuleType) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.endpoints.get_web_url(), timeout=120) as made:
        yield made


def text(said: str) -> dict[str, str]:
    return {"text": said, "language": "en"}


def predict(client: httpx.Client, said: str, model: str = "fast") -> httpx.Response:
    return client.post(f"/predict_sync?model_name={model}", json=text(said))


def queues() -> dict[str, str]:
    mark = uuid.uuid4().hex[:8]
    return {"success_queue": f"good-{mark}", "failure_queue": f"bad-{mark}"}


def told(queue: str) -> Any:
    """The next message of a queue."""
    message: str = squall.Queue.from_name(queue, create_if_missing=True).get(timeout=60)
    return json.loads(message)


def is_empty(queue: str) -> bool:
    try:
        squall.Queue.from_name(queue, create_if_missing=True).get(timeout=0.5)
    except plain_queue.Empty:
        return True
    return False


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    while True:
        got = client.get(f"/jobs/{job_id}")
        if got.status_code != 202:
            job: dict[str, Any] = got.json()
            return job


def test_a_service_answers_queues_and_keeps_bad_inputs_apart(
    service: ModuleType, client: httpx.Client
) -> None:
    got = predict(client, "Hello world")
    assert got.status_code == 200
    said = got.json()
    assert said["translated_text"] == "HELLO WORLD"
    assert (said["confidence"], said["status"]) == (0.95, "success")
    assert predict(client, "a", model="slow").status_code == 404
    missing = client.post("/predict_sync?model_name=fast", json={"text": "a"})
    assert missing.status_code == 422

    to = queues()
    asked = {"message": text("later"), "meta": {"trace": 7}, **to}
    stored = client.post("/predict_async?model_name=fast", json=asked)
    assert stored.status_code == 200
    success = told(to["success_queue"])
    assert success["translated_text"] == "LATER"
    assert success["meta"] == {"trace": 7}
    assert "error" not in success
    assert success["job_id"] == stored.json()["job_id"]

    asked["message"] = text("poison")
    client.post("/predict_async?model_name=fast", json=asked)
    failure = told(to["failure_queue"])
    assert failure["status"] == "error"
    assert failure["original_message"]["message"] == text("poison")
    assert failure["original_message"]["meta"] == {"trace": 7}
    assert is_empty(to["success_queue"])
    assert is_empty(to["failure_queue"])

    quiet = client.post("/predict_async?model_name=fast", json={"message": text("quiet")})
    job = ended(client, quiet.json()["job_id"])
    assert job["state"] == "done"
    assert job["output"]["translated_text"] == "QUIET"
    assert client.get("/jobs/fc-0000000000000000000000").status_code == 404

    batch = client.post("/predict_batch?model_name=fast", json=[text("a"), text("poison")]).json()
    assert [each["state"] for each in batch] == ["done", "failed"]


def test_many_requests_run_as_few_batches_and_poison_fails_only_its_caller(
    service: ModuleType,
) -> None:
    url = service.endpoints.get_web_url()

    async def ask(said: list[str]) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=120) as client:
            route = "/predict_sync?model_name=fast"
            return await asyncio.gather(*(client.post(route, json=text(each)) for each in said))

    [first] = asyncio.run(ask(["warm"]))
    before = first.json()["batches"]
    many = asyncio.run(ask([f"text {n}" for n in range(20)]))
    assert [each.json()["translated_text"] for each in many] == [f"TEXT {n}" for n in range(20)]
    assert max(each.json()["batches"] for each in many) - before <= 8

    mixed = asyncio.run(ask(["one", "poison", "two"]))
    assert [each.status_code for each in mixed] == [200, 500, 200]
    assert "poison is no text" not in mixed[1].text


def test_a_broken_gpu_has_its_container_replaced(service: ModuleType, client: httpx.Client) -> None:
    before = predict(client, "before").json()["container"]
    assert predict(client, "breaker").status_code == 500
    after = predict(client, "after")
    assert after.status_code == 200
    assert after.json()["container"] != before


def test_new_weights_are_found_and_a_hook_that_raises_stops_nothing(
    service: ModuleType, client: httpx.Client
) -> None:
    weights = squall.Volume.from_name("ranker-weights", create_if_missing=True)

    def put(what: str) -> None:
        with weights.batch_upload(force=True) as batch:
            batch.put_file(io.BytesIO(what.encode()), "/weights.txt")

    def seen() -> str:
        word: str = predict(client, "any").json()["weights"]
        return word

    for each in ("new", "broken", "newer"):
        put(each)
        while seen() != each:
            time.sleep(0.1)
