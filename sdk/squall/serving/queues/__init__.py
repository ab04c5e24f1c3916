"""Where outcomes of asynchronous jobs are sent: backends by name, or any object with
`send_message`."""

import importlib
from collections.abc import Callable
from typing import Any, Final, Protocol, runtime_checkable

from squall.serving.errors import BackendError

__all__ = ["QueueBackend", "create_backend", "register_backend"]


@runtime_checkable
class QueueBackend(Protocol):
    """What a service sends outcomes through. It may have `async def close()`, called at the end."""

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Put a JSON text into a queue, made if it is missing. Whether it was taken for good: False
        and exceptions have it sent again."""
        ...


Factory = Callable[..., QueueBackend]

_BUILT_IN: Final = {
    "nats": "squall.serving.queues.nats:backend",
    "memory": "squall.serving.queues.memory:InMemoryBackend",
    "sqs": "squall.serving.queues.sqs:SQSBackend",
    "redis": "squall.serving.queues.redis:RedisBackend",
    "taskiq": "squall.serving.queues.taskiq:TaskiqBackend",
}
_registered: Final[dict[str, Factory]] = {}


def register_backend(name: str, factory: Factory) -> None:
    """Make `queue_config.backend: name` mean this class or function. It is called with the keyword
    argument `broker_url`. Registering a built-in name replaces it."""
    if not name or not callable(factory):
        raise BackendError(f"a queue backend is a name and something to call, not {factory!r}")
    _registered[name] = factory


def create_backend(name: str, **options: Any) -> QueueBackend:
    """The backend of that name. BackendError if there is none or it refuses its options."""
    factory = _registered.get(name)
    if factory is None:
        path = _BUILT_IN.get(name)
        if path is None:
            known = ", ".join(sorted({*_BUILT_IN, *_registered}))
            raise BackendError(
                f"queue_config.backend: there is no {name!r}; there are {known}, and what "
                "register_backend(…) adds"
            )
        module, _, attribute = path.partition(":")
        factory = getattr(importlib.import_module(module), attribute)
    made: object = factory(**options)
    if not isinstance(made, QueueBackend):
        raise BackendError(
            f"queue_config.backend: {name!r} made a {type(made).__name__}, which has no send_message"
        )
    return made
