"""Volumes as such: made, listed, renamed, deleted."""

from typing import TYPE_CHECKING

from squall import _client, _sync, _validate
from squall._apps.places import require
from squall._volume.errors import translated
from squall.exception import AlreadyExistsError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from squall.volume import Volume


class VolumeManager:
    """What `Volume.objects` is. Environments default to the configured one."""

    @_sync.synced
    async def create(
        self,
        name: str,
        *,
        version: int | None = None,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """A new, empty volume. AlreadyExistsError, unless `allow_existing`."""
        from squall_volumes.store import VolumeStore

        _validate.object_name("name", name)
        connected = await _client.connected()
        place = _place(connected, environment_name)
        await require(connected, place)
        try:
            async with translated():
                await VolumeStore(connected.bus).create(place, name)
        except AlreadyExistsError:
            if not allow_existing:
                raise

    @_sync.synced
    async def list(
        self,
        *,
        max_objects: int | None = None,
        environment_name: str | None = None,
        client: object = None,
    ) -> "list[Volume]":
        """All volumes of the environment, by name."""
        from squall_volumes.store import VolumeStore

        from squall.volume import Volume

        connected = await _client.connected()
        place = _place(connected, environment_name)
        await require(connected, place)
        async with translated():
            found = await VolumeStore(connected.bus).names(place)
        return [
            Volume._new(_name=each.name, _environment=place, _id=each.volume_id)
            for each in found[:max_objects]
        ]

    @_sync.synced
    async def delete(
        self,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Remove a volume with all it holds. NotFoundError, unless `allow_missing`."""
        from squall_volumes.store import VolumeStore

        _validate.object_name("name", name)
        connected = await _client.connected()
        try:
            async with translated():
                await VolumeStore(connected.bus).delete(_place(connected, environment_name), name)
        except NotFoundError:
            if not allow_missing:
                raise

    @_sync.synced
    async def rename(
        self,
        old_name: str,
        new_name: str,
        *,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Give a volume another name; what has it mounted keeps it. NotFoundError,
        AlreadyExistsError."""
        from squall_volumes.store import VolumeStore

        _validate.object_name("old_name", old_name)
        _validate.object_name("new_name", new_name)
        if old_name == new_name:
            raise InvalidError(f"the volume is called {old_name!r} already")
        connected = await _client.connected()
        async with translated():
            store = VolumeStore(connected.bus)
            await store.rename(_place(connected, environment_name), old_name, new_name)


def _place(client: "_client.Client", environment: str | None) -> str:
    return client.environment if environment is None else _validate.environment_name(environment)
