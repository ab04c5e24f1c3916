"""Messages kept in this process: for tests and for services that run here."""

from collections import defaultdict


class InMemoryBackend:
    """`messages` has what was sent, by queue. Nobody outside of this process sees any of it."""

    def __init__(self, broker_url: str | None = None) -> None:
        """`broker_url`: of no meaning here."""
        self.messages: defaultdict[str, list[str]] = defaultdict(list)

    async def send_message(self, queue_name: str, message: str) -> bool:
        """Append it."""
        self.messages[queue_name].append(message)
        return True
