"""What the gateway refuses of a function's volumes and buckets. Pure."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from squall_contracts.buckets import BucketMount
from squall_contracts.functions import FunctionSpec

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_VOLUME: Final = re.compile(r"vo-[A-Za-z0-9]{1,64}")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_FORBIDDEN_MOUNTS: Final = frozenset({"/", "/root", "/tmp", "/squall"})


def mount_problems(spec: FunctionSpec) -> Iterable[str]:
    """One line for each thing that can't be as it stands."""
    seen: set[str] = set()
    for path in (*(v.path for v in spec.volumes), *(b.path for b in spec.buckets)):
        yield from _path(path)
        if path in seen:
            yield f"volumes: {path} or its volume is mounted twice"
        seen.add(path)
    for volume in spec.volumes:
        if not _VOLUME.fullmatch(volume.volume_id):
            yield f"volumes: {volume.volume_id!r} is not the id of a volume"
        if volume.sub_path and {"", ".", ".."} & set(volume.sub_path.split("/")):
            yield f"volumes: sub_path {volume.sub_path!r} must not hold '.' or '..'"
        if volume.volume_id in seen:
            yield f"volumes: {volume.path} or its volume is mounted twice"
        seen.add(volume.volume_id)
    for bucket in spec.buckets:
        yield from _bucket(bucket)
    paths = {bucket.path for bucket in spec.buckets}
    for use in spec.secrets:
        if use.bucket and use.bucket not in paths:
            yield f"secrets: there is no bucket at {use.bucket}"


def _path(path: str) -> Iterable[str]:
    if (
        not path.startswith("/")
        or {"", ".", ".."} & set(path.split("/")[1:])
        or path in _FORBIDDEN_MOUNTS
        or _CONTROL.search(path)
    ):
        yield (
            f"volumes: {path!r} can't be a mount path: use an absolute path without '..' "
            "that is not /, /root or /tmp"
        )


def _bucket(mount: BucketMount) -> Iterable[str]:
    if not _BUCKET.fullmatch(mount.bucket):
        yield f"volumes: {mount.bucket!r} can't be the name of a bucket"
    if mount.endpoint_url and not _is_endpoint(mount.endpoint_url):
        yield (
            f"volumes: the endpoint of bucket {mount.bucket} must be http://HOST or https://HOST "
            "with nothing more than a port and a path"
        )
    prefix = mount.key_prefix
    parts = prefix.removesuffix("/").split("/")
    if prefix and (
        not prefix.endswith("/") or {"", ".", ".."} & set(parts) or _CONTROL.search(prefix)
    ):
        yield f"volumes: key_prefix {prefix!r} must end in '/' and hold no part '.', '..' or ''"


def _is_endpoint(url: str) -> bool:
    if _CONTROL.search(url) or " " in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and "@" not in parts.netloc
        and not parts.query
        and not parts.fragment
    )
