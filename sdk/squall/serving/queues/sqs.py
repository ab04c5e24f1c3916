"""Messages in queues of Amazon SQS, or of a server that speaks as it does."""

from contextlib import AsyncExitStack
from typing import Any

from squall.serving.errors import DependencyError

_MISSING = "AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"


class SQSBackend:
    """Region and credentials are found as the AWS tools find them: by their variables, say, which a
    secret can hold."""

    def __init__(self, broker_url: str | None = None) -> None:
        """`broker_url`: the address of a server that isn't Amazon's; None, or anything that isn't
        http(s), for Amazon's."""
        self._endpoint = broker_url if (broker_url or "").startswith("http") else None
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._urls: dict[str, str] = {}

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Send it, to a new queue of that name if there is none."""
        client = await self._connected()
        url = self._urls.get(queue_name)
        if url is None:
            url = self._urls[queue_name] = await self._url(client, queue_name)
        answer = await client.send_message(QueueUrl=url, MessageBody=message)
        return "MessageId" in answer

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()
        self._client = None

    async def _connected(self) -> Any:
        if self._client is None:
            try:
                from aiobotocore.session import get_session
            except ImportError as error:
                raise DependencyError(
                    "the sqs backend needs aiobotocore: install squall[sqs] into the image"
                ) from error
            client = get_session().create_client("sqs", endpoint_url=self._endpoint)
            self._client = await self._stack.enter_async_context(client)
        return self._client

    async def _url(self, client: Any, queue_name: str) -> str:
        from botocore.exceptions import ClientError

        try:
            found = await client.get_queue_url(QueueName=queue_name)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _MISSING:
                raise
            found = await client.create_queue(QueueName=queue_name)
        url: str = found["QueueUrl"]
        return url
