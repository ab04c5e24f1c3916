"""Snapshots of containers: taken by their runners, taken over by the builder, and given up in time."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from squall_contracts import images
from squall_contracts.failures import Refused
from squall_contracts.placement import ContainerRecord
from squall_contracts.sandbox_file_subjects import runner_snapshot
from squall_contracts.sandbox_snapshots import SnapshotContainer, SnapshotReply, SnapshotTaken

from squall_gateway.terminals import Ask

ANSWER_S: Final = 10.0
"""What a runner gets beyond the time the snapshot may take."""

Ensure = Callable[[str, images.EnsureImage], Awaitable[images.ImageStatus]]


class Snapshots:
    """Answers `snapshot_container`."""

    def __init__(
        self,
        placed: Callable[[str, str], Awaitable[ContainerRecord]],
        ask: Ask,
        ensure: Ensure,
    ) -> None:
        """`placed(account, container id)`: a live container of that workspace. `ensure`: has the
        builder look at a new image, so that it is known whatever becomes of who asked."""
        self._placed = placed
        self._ask = ask
        self._ensure = ensure

    async def take(self, account: str, request: SnapshotContainer) -> SnapshotTaken | Refused:
        record = await self._placed(account, request.container_id)
        reply: Any = SnapshotReply
        subject = runner_snapshot(record.runner_id)
        within_s = request.timeout_s + ANSWER_S
        taken: SnapshotTaken | Refused = await self._ask(
            subject, request, reply, within_s, f"runner {record.runner_id}"
        )
        if isinstance(taken, SnapshotTaken):
            await self._ensure(account, images.EnsureImage(recipe=taken.recipe))
        return taken
