"""What queues are told, and that they are told it."""

import json
from typing import Any

import pytest
from pydantic import BaseModel
from squall.serving import AsyncInputModel, BackendError, InferenceOutputModel, delivery
from squall.serving.delivery import deliver
from squall.serving.replies import Outcome, Reply, outcome_of, reply_to


class Text(BaseModel):
    text: str


class Upper(InferenceOutputModel):
    upper: str


def asked(**queues: str) -> AsyncInputModel[Any]:
    return AsyncInputModel[Text](message=Text(text="a"), meta={"trace": 7}, **queues)


BOTH = {"success_queue": "good", "failure_queue": "bad"}


def reply(result: InferenceOutputModel | Exception, **queues: str) -> Reply | None:
    request = asked(**queues)
    return reply_to(request, outcome_of(result, request.meta), "fc-1")


def test_a_success_tells_the_output_the_meta_and_no_error() -> None:
    told = reply(Upper(upper="A"), **BOTH)
    assert told is not None
    assert told.queue == "good"
    said = {"status": "success", "meta": {"trace": 7}, "upper": "A", "job_id": "fc-1"}
    assert json.loads(told.body) == said


def test_an_output_of_another_status_goes_to_the_failure_queue_with_its_error() -> None:
    told = reply(Upper(upper="", status="refused", error="no text"), **BOTH)
    assert told is not None
    assert told.queue == "bad"
    assert json.loads(told.body)["error"] == "no text"
    assert json.loads(told.body)["meta"] == {"trace": 7}


def test_an_exception_tells_the_original_message_with_its_meta() -> None:
    told = reply(ValueError("bad text"), **BOTH)
    assert told is not None
    assert told.queue == "bad"
    assert json.loads(told.body) == {
        "status": "error",
        "error": "ValueError: bad text",
        "meta": {},
        "job_id": "fc-1",
        "original_message": {"message": {"text": "a"}, "meta": {"trace": 7}, **BOTH},
    }


@pytest.mark.parametrize("result", [Upper(upper="A"), Upper(upper="", status="odd"), OSError()])
def test_who_names_no_queue_is_told_nothing(result: InferenceOutputModel | Exception) -> None:
    assert reply(result) is None


def test_an_output_keeps_its_own_meta_where_the_caller_has_none() -> None:
    assert outcome_of(Upper(upper="A", meta={"own": 1}), {}) == Outcome(
        {"status": "success", "error": None, "meta": {"own": 1}, "upper": "A"}
    )


class Flaky:
    """A backend that fails in turn as it was told to, then takes everything."""

    def __init__(self, *failures: Exception | bool) -> None:
        self.failures = list(failures)
        self.messages: list[tuple[str, str]] = []

    async def send_message(self, queue_name: str, message: str) -> bool:
        if self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        self.messages.append((queue_name, message))
        return True


async def test_a_reply_is_sent_again_until_it_is_taken_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "FIRST_WAIT_S", 0.001)
    backend = Flaky(ConnectionError("away"), False, ConnectionError("away"))
    await deliver(backend, Reply("good", "{}"), patience_s=60)
    assert backend.messages == [("good", "{}")]


async def test_when_the_time_is_over_the_last_failure_is_raised() -> None:
    with pytest.raises(ConnectionError, match="away"):
        await deliver(Flaky(ConnectionError("away")), Reply("good", "{}"), patience_s=0)
    with pytest.raises(BackendError, match="queue 'good': the backend did not take it"):
        await deliver(Flaky(False), Reply("good", "{}"), patience_s=0)
