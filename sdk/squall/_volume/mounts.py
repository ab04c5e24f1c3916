"""`volumes={…}` of functions and classes: checked where they are declared, looked up when they run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from squall_contracts.volumes import VolumeMount

from squall import _validate
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._apps.spec import Plan
    from squall.volume import Volume


def checked(value: object) -> "dict[str, Volume]":
    """Volumes by mount path. InvalidError names the path at fault."""
    from squall.volume import Volume

    _validate.mount_paths(value)
    assert isinstance(value, Mapping)
    found: dict[str, Volume] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for path, volume in value.items():
        if not isinstance(volume, Volume):
            raise InvalidError(
                f"volumes[{str(path)!r}] must be a squall.Volume, not {type(volume).__name__}"
            )
        identity = (volume._id,) if volume._name is None else (volume._name, volume._environment)
        if identity in seen:
            raise InvalidError(
                f"{volume!r} is mounted at {seen[identity]} and at {path}: once is it"
            )
        seen[identity] = str(path)
        found[str(path)] = volume
    return found


async def look_up(made: "Plan", environment: str) -> None:
    """Put the ids of volumes into the plan's functions. NotFoundError for one that doesn't exist."""
    for number, spec in enumerate(made.functions):
        volumes = made.volumes.get(spec.name)
        if volumes:
            mounts = [await _mount(path, volumes[path], environment) for path in sorted(volumes)]
            made.functions[number] = msgspec.structs.replace(spec, volumes=tuple(mounts))


async def _mount(path: str, volume: "Volume", environment: str) -> VolumeMount:
    return VolumeMount(
        path=path,
        volume_id=await volume._resolved(environment),
        read_only=volume._read_only,
        sub_path=volume._sub_path,
    )
