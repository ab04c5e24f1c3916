"""Hearing of dicts and queues that were deleted, by whomever, while handles of them are in use.

What is put goes straight to the server, which would store it for one that is gone: the gateway says
so to all who listen before the deletion is answered.
"""

import weakref
from typing import TYPE_CHECKING

from squall_contracts import state_subjects

if TYPE_CHECKING:
    from squall_bus.bus import Bus, Delivery

    from squall._shared.collection import Collection


class Gone:
    """The handles one connection tells; on the SDK loop."""

    def __init__(self, bus: "Bus") -> None:
        self._bus = bus
        self._handles: weakref.WeakSet[Collection] = weakref.WeakSet()
        self._listens = False

    async def listen(self) -> None:
        """Before a handle is looked up, so that no word of it is missed."""
        if not self._listens:
            self._listens = True
            self._bus.wire.hooks.reconnected.append(self._reconnected)
            await self._bus.subscribe(state_subjects.COLLECTION_GONE_ALL, self._heard)

    def watch(self, handle: "Collection") -> None:
        self._handles.add(handle)

    def _heard(self, delivery: "Delivery") -> None:
        collection_id = delivery.subject.rpartition(".")[2]
        for handle in list(self._handles):
            handle._deleted(collection_id)

    def _reconnected(self) -> None:
        """Word may have been missed meanwhile."""
        for handle in list(self._handles):
            handle._asked_s = 0.0
