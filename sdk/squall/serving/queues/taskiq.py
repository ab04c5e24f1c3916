"""Messages as tasks of any taskiq broker."""

import importlib
from typing import Any

from squall.serving.errors import BackendError, DependencyError


class TaskiqBackend:
    """Every message starts the task of the queue's name with it as the only argument. Workers that
    listen at the broker run it."""

    def __init__(self, broker_url: str | None = None, *, broker: Any = None) -> None:
        """`broker`: a taskiq broker; or by `broker_url` where to import one, "package.module:name".
        BackendError if there is none."""
        self._broker = _imported(broker_url) if broker is None else broker
        self._started = False

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Hand it to the broker."""
        try:
            from taskiq.kicker import AsyncKicker
        except ImportError as error:
            raise DependencyError(
                "the taskiq backend needs taskiq: install squall[taskiq] into the image"
            ) from error
        if not self._started:
            await self._broker.startup()
            self._started = True
        kicker: Any = AsyncKicker(task_name=queue_name, broker=self._broker, labels={})
        await kicker.kiq(message)
        return True

    async def close(self) -> None:
        """Shut the broker down."""
        if self._started:
            await self._broker.shutdown()
            self._started = False


def _imported(path: str | None) -> Any:
    module, _, name = (path or "").partition(":")
    if not module or not name or "//" in name:
        raise BackendError(
            "queue_config.broker_url: the taskiq backend needs the place of a broker, such as "
            f"my_package.tasks:broker, not {path!r}"
        )
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BackendError(f"queue_config.broker_url: there is no {path}: {error}") from error
