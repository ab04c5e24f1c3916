"""Volumes that last as long as a block, or as somebody keeps them alive."""

import asyncio
import logging
from typing import TYPE_CHECKING

from squall_contracts.volumes import KEEP_LIVE_S

from squall import _client, _sync
from squall._volume.errors import translated
from squall.exception import Error

if TYPE_CHECKING:
    from squall_volumes.store import VolumeStore

    from squall.volume import Volume

_log = logging.getLogger("squall")


class Ephemeral:
    """What `Volume.ephemeral()` gives; enter it with `with` or `async with`."""

    def __init__(self, kind: "type[Volume]") -> None:
        self._kind = kind
        self._volume_id = ""
        self._keeper: asyncio.Task[None] | None = None

    def __enter__(self) -> "Volume":
        return _sync.run(self._open())

    def __exit__(self, *_: object) -> None:
        _sync.run(self._close())

    async def __aenter__(self) -> "Volume":
        return await _sync.hop(self._open())

    async def __aexit__(self, *_: object) -> None:
        await _sync.hop(self._close())

    async def _open(self) -> "Volume":
        from squall_volumes.store import VolumeStore

        client = await _client.connected()
        store = VolumeStore(client.bus)
        async with translated():
            self._volume_id = await store.create_ephemeral()
        self._keeper = _sync.background(self._keep(store))
        return self._kind._new(_id=self._volume_id)

    async def _keep(self, store: "VolumeStore") -> None:
        while True:
            await asyncio.sleep(KEEP_LIVE_S)
            try:
                async with translated():
                    await store.keep_alive(self._volume_id)
            except Error as error:
                _log.warning("volume %s was not kept alive: %s", self._volume_id, error)

    async def _close(self) -> None:
        from squall_volumes.store import VolumeStore

        if self._keeper is not None:
            self._keeper.cancel()
        client = await _client.connected()
        async with translated():
            await VolumeStore(client.bus).remove(self._volume_id)
