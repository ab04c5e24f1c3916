"""Messages in Squall's own queues, or in a stream of another NATS server."""

from squall.queue import Queue
from squall.serving.errors import BackendError
from squall.serving.queues import QueueBackend


def backend(broker_url: str | None = None) -> QueueBackend:
    """`broker_url` None: queues of this workspace, `squall.Queue.from_name(…)`. Else a server whose
    JetStream has a stream with the queues' names among its subjects."""
    return PlatformQueues() if not broker_url else Streams(broker_url)


class PlatformQueues:
    """Every message is an item of the `squall.Queue` of that name."""

    def __init__(self) -> None:
        self._queues: dict[str, Queue] = {}

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Put it at the end. Waits for room for up to 5 s, and is False if there is none."""
        import queue as plain_queue

        queue = self._queues.get(queue_name)
        if queue is None:
            queue = Queue.from_name(queue_name, create_if_missing=True)
            self._queues[queue_name] = queue
        try:
            await queue.put.aio(message, timeout=5.0)
        except plain_queue.Full:
            return False
        return True


class Streams:
    """Every message is published on the subject of that name, and a stream must store it."""

    def __init__(self, broker_url: str) -> None:
        """`broker_url`: nats://… or tls://…, several with commas between them."""
        from squall_bus.channels.outside import OutsideServer

        self._server = OutsideServer(broker_url)

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Publish it and wait until it is stored. BackendError says what the server said."""
        from squall_bus.errors import BusError

        try:
            await self._server.store(queue_name, message.encode())
        except BusError as error:
            raise BackendError(f"queue {queue_name!r}: {error}") from error
        return True

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()
