"""`volumes={…}` of functions and classes: checked where they are declared, looked up when they run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from squall_contracts.buckets import BucketMount
from squall_contracts.volumes import VolumeMount

from squall import _validate
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._apps.spec import Plan
    from squall.cloud_bucket_mount import CloudBucketMount
    from squall.volume import Volume

    Mounted: TypeAlias = Volume | CloudBucketMount


def checked(value: object) -> "dict[str, Mounted]":
    """Volumes and buckets by mount path. InvalidError names the path at fault."""
    from squall.cloud_bucket_mount import CloudBucketMount
    from squall.volume import Volume

    _validate.mount_paths(value)
    assert isinstance(value, Mapping)
    found: dict[str, Mounted] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for path, volume in value.items():
        if isinstance(volume, CloudBucketMount):
            found[str(path)] = volume
            continue
        if not isinstance(volume, Volume):
            raise InvalidError(
                f"volumes[{str(path)!r}] must be a squall.Volume or a squall.CloudBucketMount, "
                f"not {type(volume).__name__}"
            )
        identity = (volume._id,) if volume._name is None else (volume._name, volume._environment)
        if identity in seen:
            raise InvalidError(
                f"{volume!r} is mounted at {seen[identity]} and at {path}: once is it"
            )
        seen[identity] = str(path)
        found[str(path)] = volume
    return found


def divided(
    mounts: "Mapping[str, Mounted]",
) -> "tuple[dict[str, Volume], dict[str, CloudBucketMount]]":
    """The volumes and the buckets, in order of their paths."""
    from squall.volume import Volume

    volumes: dict[str, Volume] = {}
    buckets: dict[str, CloudBucketMount] = {}
    for path, mount in sorted(mounts.items()):
        if isinstance(mount, Volume):
            volumes[path] = mount
        else:
            buckets[path] = mount
    return volumes, buckets


async def look_up(made: "Plan", environment: str) -> None:
    """Put the ids of volumes into the plan's functions. NotFoundError for one that doesn't exist."""
    for number, spec in enumerate(made.functions):
        volumes = made.volumes.get(spec.name)
        if volumes:
            mounts = [await _mount(path, volumes[path], environment) for path in volumes]
            made.functions[number] = msgspec.structs.replace(spec, volumes=tuple(mounts))


async def _mount(path: str, volume: "Volume", environment: str) -> VolumeMount:
    return VolumeMount(
        path=path,
        volume_id=await volume._resolved(environment),
        read_only=volume._read_only,
        sub_path=volume._sub_path,
    )


def bucket(path: str, mount: "CloudBucketMount") -> BucketMount:
    """As it is sent; its secret goes with the function's."""
    return BucketMount(
        path=path,
        bucket=mount.bucket_name,
        endpoint_url=mount.bucket_endpoint_url or "",
        key_prefix=mount.key_prefix or "",
        read_only=mount.read_only,
        requester_pays=mount.requester_pays,
        force_path_style=mount.force_path_style,
    )
