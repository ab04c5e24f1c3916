"""Snapshots of the file systems of running containers: images that no recipe describes."""

from typing import Annotated

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.images import Recipe
from squall_contracts.message import Message
from squall_contracts.sandbox_files import LONGEST_PATH

LONGEST_S = 3600.0


class SnapshotContainer(Message, frozen=True, kw_only=True):
    """Client -> gateway -> runner: keep what a container has on disk now as an image. Reply:
    SnapshotTaken, once the runner has it; asked to ensure the recipe, the builder then takes it over."""

    container_id: str
    path: Annotated[str, Meta(max_length=LONGEST_PATH)] = ""
    """Of this directory alone; empty: of the whole file system."""
    ttl_s: Annotated[float, Meta(gt=0)] | None = None
    """None: kept for good."""
    timeout_s: Annotated[float, Meta(gt=0, le=LONGEST_S)] = 55.0


class SnapshotTaken(Message, frozen=True, kw_only=True, tag="snapshot_taken"):
    recipe: Recipe
    """Of the image, whose base is the snapshot."""


SnapshotReply = SnapshotTaken | Refused
