"""The Celery app of bench-peers: one task that does nothing."""

import os

from celery import Celery

_redis = f"redis://127.0.0.1:{os.environ['PEERS_REDIS']}"
app = Celery("peers", broker=f"{_redis}/0", backend=f"{_redis}/1")


@app.task  # type: ignore[untyped-decorator]
def noop() -> None:
    return None
