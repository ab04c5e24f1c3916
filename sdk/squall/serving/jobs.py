"""Reading the outcome of an asynchronous job by its id."""

import logging
from typing import Final

from squall.call import FunctionCall
from squall.exception import InvalidError, NotFoundError, OutputExpiredError
from squall.serving.payloads import Job
from squall.serving.replies import Outcome

_log: Final = logging.getLogger("squall.serving")


async def read_job(job_id: str) -> Job:
    """The job as it is now. NotFoundError for an id that no job has, or had too long ago."""
    try:
        outcome = await FunctionCall.from_id(job_id).get.aio(timeout=0)
    except TimeoutError:
        return Job(job_id=job_id, state="pending")
    except (InvalidError, OutputExpiredError) as error:
        raise NotFoundError(f"there is no job {job_id!r}, or it ended too long ago") from error
    except Exception as error:  # noqa: BLE001 - what a call fails with may be of any type
        _log.error("job %s: %s", job_id, error)
        return Job(job_id=job_id, state="failed", error="the job could not be run")
    if not isinstance(outcome, Outcome):
        raise NotFoundError(f"{job_id!r} is a call, but not of this service")
    if outcome.output is None:
        return Job(job_id=job_id, state="failed", error="the model failed on this input")
    return Job(job_id=job_id, state="done", output=outcome.output)
