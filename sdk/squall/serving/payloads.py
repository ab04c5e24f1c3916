"""What goes over HTTP and through queues: pydantic models, by modalkit's names."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T", bound=BaseModel)


class SyncInputModel(BaseModel, Generic[T]):
    """One input, and nothing around it: what `/predict_sync` makes of its body."""

    model_config = ConfigDict(extra="forbid")

    message: T


class AsyncInputModel(BaseModel, Generic[T]):
    """One input of `/predict_async` and where its outcome is sent.

    `success_queue`, `failure_queue`: names of queues, "" for none: the outcome can be read at
    `/jobs/{id}` either way. `meta`: the caller's own words, given back with the outcome.
    """

    model_config = ConfigDict(extra="forbid")

    message: T
    success_queue: str = ""
    failure_queue: str = ""
    meta: dict[str, Any] = Field(default_factory=dict)


class AsyncOutputModel(BaseModel):
    """The id that `/jobs/{job_id}` takes."""

    job_id: str


class InferenceOutputModel(BaseModel):
    """What a pipeline gives for one input; subclasses add fields of their own.

    `status`: "success", or any other word for a failure, whose `error` says what went wrong. Such
    an output goes to the failure queue. `meta`: the caller's, filled in for it.
    """

    model_config = ConfigDict(extra="allow")

    status: str = "success"
    error: str | None = None
    meta: dict[str, Any] = Field(default_factory=dict)


class DelayedFailureOutputModel(InferenceOutputModel):
    """What a failure queue gets: the failure, and the input as it came."""

    original_message: AsyncInputModel[Any]


class Job(BaseModel):
    """A job as `/jobs/{id}` and `/predict_batch` show it.

    `state`: "pending" until it has run, then "done" with its `output`, or "failed" with `error`.
    """

    job_id: str | None = None
    state: str
    output: Any = None
    error: str | None = None
