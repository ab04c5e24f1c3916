"""The routes of a service, over functions of the test's own in place of containers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel
from squall.exception import NotFoundError
from squall.serving import AsyncInputModel, AuthConfigError, InferenceOutputModel, create_app
from squall.serving.auth import key_check
from squall.serving.payloads import Job
from squall.serving.replies import Outcome
from squall.serving.settings import AuthConfig

TEXT = {"text": "Hello", "language": "en"}


class Text(BaseModel):
    text: str
    language: str


class Upper(InferenceOutputModel):
    upper: str


stored: list[tuple[str, AsyncInputModel[Any]]] = []


async def run(model_name: str, message: Text) -> Outcome:
    assert isinstance(message, Text)
    if message.text == "poison":
        return Outcome(None, "ValueError: secret words")
    if message.text == "lost":
        raise RuntimeError("secret words")
    if message.text == "odd":
        return Outcome({"status": "success"})
    return Outcome({"status": "success", "error": None, "meta": {}, "upper": message.text.upper()})


async def store(model_name: str, asked: AsyncInputModel[Any]) -> str:
    stored.append((model_name, asked))
    return "fc-1"


async def read(job_id: str) -> Job:
    if job_id == "fc-1":
        return Job(job_id=job_id, state="done", output={"upper": "A"})
    if job_id == "fc-2":
        return Job(job_id=job_id, state="pending")
    raise NotFoundError(job_id)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    web = create_app(Text, Upper, models=["fast"], sync_fn=run, async_fn=store, job_fn=read)
    transport = httpx.ASGITransport(web, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as made:
        yield made


async def test_an_input_is_answered_by_its_output(client: httpx.AsyncClient) -> None:
    got = await client.post("/predict_sync?model_name=fast", json=TEXT)
    assert got.status_code == 200
    assert got.json() == {"status": "success", "error": None, "meta": {}, "upper": "HELLO"}


@pytest.mark.parametrize("route", ["predict_sync", "predict_async", "predict_batch"])
async def test_unknown_models_and_wrong_fields_are_told_apart(
    client: httpx.AsyncClient, route: str
) -> None:
    wrap: dict[str, Any] = {
        "predict_sync": lambda text: text,
        "predict_async": lambda text: {"message": text},
        "predict_batch": lambda text: [text],
    }
    good, bad = wrap[route](TEXT), wrap[route]({"text": "Hello"})
    unknown = await client.post(f"/{route}?model_name=slow", json=good)
    assert unknown.status_code == 404
    assert "'slow': there are fast" in unknown.text
    wrong = await client.post(f"/{route}?model_name=fast", json=bad)
    assert wrong.status_code == 422
    assert "language" in wrong.text
    assert (await client.post(f"/{route}", json=good)).status_code == 422
    assert (await client.post(f"/{route}?model_name=fast", content=b"{")).status_code == 422


@pytest.mark.parametrize(("text", "status"), [("poison", 500), ("lost", 500), ("odd", 500)])
async def test_failures_say_nothing_of_what_is_inside(
    client: httpx.AsyncClient, text: str, status: int
) -> None:
    got = await client.post("/predict_sync?model_name=fast", json={**TEXT, "text": text})
    assert got.status_code == status
    assert "secret words" not in got.text


async def test_a_job_keeps_the_whole_message_and_its_queues(client: httpx.AsyncClient) -> None:
    stored.clear()
    asked = {"message": TEXT, "success_queue": "good", "meta": {"trace": 7}}
    got = await client.post("/predict_async?model_name=fast", json=asked)
    assert (got.status_code, got.json()) == (200, {"job_id": "fc-1"})
    [(model, request)] = stored
    assert model == "fast"
    assert request.message == Text(text="Hello", language="en")
    assert (request.success_queue, request.failure_queue, request.meta) == (
        "good",
        "",
        {"trace": 7},
    )
    extra = await client.post("/predict_async?model_name=fast", json={**asked, "extra": 1})
    assert extra.status_code == 422


async def test_a_batch_fails_only_where_an_input_does(client: httpx.AsyncClient) -> None:
    texts = [{**TEXT, "text": text} for text in ("a", "poison", "lost", "b")]
    got = await client.post("/predict_batch?model_name=fast", json=texts)
    assert got.status_code == 200
    assert [each["state"] for each in got.json()] == ["done", "failed", "failed", "done"]
    assert [each["output"] and each["output"]["upper"] for each in got.json()] == [
        "A",
        None,
        None,
        "B",
    ]
    assert "secret words" not in got.text


async def test_jobs_are_read_by_their_ids(client: httpx.AsyncClient) -> None:
    assert (await client.get("/jobs/fc-1")).json()["output"] == {"upper": "A"}
    pending = await client.get("/jobs/fc-2")
    assert (pending.status_code, pending.json()["state"]) == (202, "pending")
    assert (await client.get("/jobs/fc-3")).status_code == 404


async def test_health_is_open_and_the_rest_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi import Depends

    auth = AuthConfig(secret="api", auth_header="x-key")
    with pytest.raises(
        AuthConfigError, match=r"SERVING_API_KEYS has no keys.*squall secret create"
    ):
        key_check(auth)
    monkeypatch.setenv("SERVING_API_KEYS", "one, two")
    web = create_app(
        Text, Upper, models=["fast"], sync_fn=run, async_fn=store, job_fn=read,
        dependencies=[Depends(key_check(auth))],
    )  # fmt: skip
    transport = httpx.ASGITransport(web)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        for headers in ({}, {"x-key": "three"}, {"x-key": ""}, {"x-key": "one, two"}):
            for url in ("/predict_sync", "/predict_async", "/predict_batch"):
                asked = await client.post(f"{url}?model_name=fast", json=TEXT, headers=headers)
                assert asked.status_code == 401
            assert (await client.get("/jobs/fc-1", headers=headers)).status_code == 401
        for key in ("one", "two"):
            got = await client.post(
                "/predict_sync?model_name=fast", json=TEXT, headers={"x-key": key}
            )
            assert got.status_code == 200
