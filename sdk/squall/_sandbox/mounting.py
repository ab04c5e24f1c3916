"""Images mounted in a running sandbox."""

from typing import TYPE_CHECKING, Final

from squall_contracts import sandbox_files as words

from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._sandbox.asking import Files
    from squall.image import Image

UNPACKING_S: Final = 900.0
"""How long a runner may take that has to fetch the image first."""


async def mount(files: "Files", path: str, image: "Image") -> None:
    """Show the image's files at `path`. On the SDK loop. InvalidError, ImageBuildError, a
    SandboxFilesystemError."""
    from squall._image.building import build
    from squall.image import Image

    if not isinstance(image, Image):
        raise InvalidError(f"Sandbox.mount_image: image is a squall.Image, not {image!r}")
    if image._overlays:
        raise InvalidError(
            f"Sandbox.mount_image: {image._overlays[-1].label} lies over the image and is no part of "
            "it: give it copy=True"
        )
    if image._built_id is None:
        image._built_id = await build(image)
    asked = words.MountImage(path=path, image_id=image._built_id)
    await files.ask(asked, words.FileDone, within_s=UNPACKING_S)


async def unmount(files: "Files", path: str) -> None:
    """Show again what was there. InvalidError, a SandboxFilesystemError."""
    await files.ask(words.UnmountImage(path=path), words.FileDone)
