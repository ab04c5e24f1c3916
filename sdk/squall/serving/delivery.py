"""Telling a queue of an outcome."""

import asyncio
import time
from typing import Final

from squall.serving.errors import BackendError
from squall.serving.queues import QueueBackend
from squall.serving.replies import Reply

FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 30.0


async def deliver(backend: QueueBackend, reply: Reply, *, patience_s: float) -> None:
    """Send a reply. While the backend fails or says that it did not take it, send it again, with
    waits that double, until `patience_s` have passed; then raise what failed last, or BackendError.
    """
    ends_s = time.monotonic() + patience_s
    wait_s = FIRST_WAIT_S
    while True:
        failure: Exception = BackendError(f"queue {reply.queue!r}: the backend did not take it")
        try:
            if await backend.send_message(reply.queue, reply.body):
                return
        except Exception as error:  # noqa: BLE001 - of any backend: raised below, when time is over
            failure = error
        if time.monotonic() + wait_s > ends_s:
            raise failure
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
