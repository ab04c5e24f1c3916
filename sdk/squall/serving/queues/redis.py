"""Messages in lists of a Redis server."""

from typing import Any

from squall.serving.errors import BackendError, DependencyError


class RedisBackend:
    """Every message is pushed to the right end of the list of that name: pop it from the left."""

    def __init__(self, broker_url: str | None = None) -> None:
        """`broker_url`: redis://, rediss:// or unix://. BackendError without one."""
        if not broker_url or "://" not in broker_url:
            raise BackendError(
                "queue_config.broker_url: the redis backend needs the server's address, such as "
                "redis://host:6379/0"
            )
        self._url = broker_url
        self._client: Any = None

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Push it; the server has it when this returns."""
        if self._client is None:
            try:
                from redis.asyncio import Redis
            except ImportError as error:
                raise DependencyError(
                    "the redis backend needs redis: install squall[redis] into the image"
                ) from error
            self._client = Redis.from_url(self._url)
        return int(await self._client.rpush(queue_name, message)) > 0

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None
