"""Workspaces without a bus, and what a build says."""

from collections.abc import AsyncIterator

import pytest
from squall.image import Image, resolve
from squall_builder.built import BuildError
from squall_contracts import images


class Client:
    """Resolves images as the SDK does, serves their files, and writes down what a build says."""

    account = "ACCOUNT"

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.said: list[tuple[str, int, int]] = []

    @property
    def text(self) -> str:
        return "\n".join(line for line, _, _ in self.said)

    def order(self, image: Image) -> images.BuildImage:
        resolved = resolve(image)
        for sha256, content in resolved.uploads.items():
            self.stored[sha256] = content if isinstance(content, bytes) else content.read_bytes()
        return images.BuildImage(
            workspace=self.account, image_id=resolved.image_id, recipe=resolved.recipe
        )

    async def fetch(self, file: images.ContextFile) -> AsyncIterator[bytes]:
        if file.sha256 not in self.stored:
            raise BuildError(f"{file.path!r} was never uploaded")
        yield self.stored[file.sha256]

    async def say(self, line: str, step: int, steps: int) -> None:
        self.said.append((line, step, steps))


@pytest.fixture
def client() -> Client:
    return Client()
