"""How images get from the machine that built them to those that run them. As subjects.py for calls."""

from typing import Final

from squall_contracts.subjects import _token

IMAGE_FILES_BUCKET: Final = "imagefiles"
"""A workspace's objects named by image id: images as their engine saves them, while somebody may want
them; made again when asked for after they have gone."""
SHARE_IMAGE_ALL: Final = "platform.image.share.*"
IMAGE_REMOVED: Final = "platform.image.removed"
"""Builder -> every runner, unstored: ImageGone."""


def share_image(engine: str) -> str:
    """Runner -> a builder with that engine (request): ShareImage."""
    return f"platform.image.share.{_token(engine)}"
