"""What handlers and the two runtimes share."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec
from squall_contracts.images import BuildImage, ContextFile

Say = Callable[[str, int, int], Awaitable[None]]
"""Takes a line of the build's log, the step it belongs to and how many there are (0: unknown)."""

Fetch = Callable[[ContextFile], AsyncIterator[bytes]]
"""Reads a file from the workspace's code store. BuildError: it isn't there, or is damaged."""

StepValues = Mapping[int, Mapping[str, str]]
"""Secret variables of the steps that have any, by the step's number from 1."""
NO_VALUES: Final[StepValues] = {}


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A finished image."""

    reference: str
    """Docker tag, or directory of a virtual environment."""
    python_version: str
    """`3.11`."""
    size_bytes: int
    workdir: str = ""
    env: dict[str, str] = {}
    engine: str = ""
    """Of a Docker image: the engine that has it, see images.ImageRecord."""
    layers_sha256: str = ""


class BuildError(Exception):
    """Raised when an image can't be built; one line that names the step and the cause."""

    def __init__(self, message: str, failed_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.failed_step = failed_step


class InUseError(Exception):
    """Raised when an image can't be removed because a container uses it."""


class Runtime(Protocol):
    """Builds images for one kind of container."""

    name: str

    async def find(self, order: BuildImage) -> Built | None:
        """The image, if it was built before and is still there."""

    async def build(
        self, order: BuildImage, fetch: Fetch, say: Say, values: StepValues = NO_VALUES
    ) -> Built:
        """Build the image. BuildError says why it can't be."""

    async def remove(self, account: str, image_id: str) -> int:
        """Free an image's disk; returns the bytes freed, 0 if it wasn't there. InUseError."""

    async def close(self) -> None: ...
