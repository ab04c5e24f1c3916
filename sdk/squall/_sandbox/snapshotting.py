"""Snapshots of a sandbox's file system, as images."""

from typing import TYPE_CHECKING

from squall_contracts.images import Recipe
from squall_contracts.sandbox_snapshots import LONGEST_S, SnapshotContainer

from squall import _client
from squall.exception import (
    ImageBuildError,
    InvalidError,
    ResourceExhaustedError,
    SnapshotCreationError,
    TimeoutError,
)

if TYPE_CHECKING:
    from squall._sandbox.asking import Ready
    from squall.image import Image


async def snapshot(
    container_id: str, ready: "Ready", timeout_s: float, ttl_s: float | None, *, path: str = ""
) -> "Image":
    """The container's file system as an image that is built, or with `path` that directory. On the
    SDK loop. TimeoutError, InvalidError where its runtime has none, NotFoundError,
    SnapshotCreationError."""
    if isinstance(timeout_s, bool) or not 0 < timeout_s <= LONGEST_S:
        raise InvalidError(f"timeout is {timeout_s!r}: give seconds, at most {LONGEST_S:g}")
    if ttl_s is not None and (isinstance(ttl_s, bool) or not ttl_s > 0):
        raise InvalidError(f"ttl is {ttl_s!r}: give seconds, or None to keep it for good")
    await ready()
    client = await _client.connected()
    asked = SnapshotContainer(
        container_id=container_id, path=path, timeout_s=timeout_s, ttl_s=ttl_s
    )
    try:
        taken = await client.control(asked)
    except ResourceExhaustedError as error:
        raise TimeoutError(str(error)) from error
    image = _image(taken.recipe)
    from squall._image.building import build

    try:
        image._built_id = await build(image)
    except ImageBuildError as error:
        raise SnapshotCreationError(str(error)) from error
    return image


def _image(recipe: Recipe) -> "Image":
    from squall_contracts.images import Snapshot

    from squall.image import Image

    assert isinstance(recipe.base, Snapshot)
    return Image._from(recipe.base, force_build=False)
