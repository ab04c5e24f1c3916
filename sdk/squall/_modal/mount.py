"""`modal.Mount`: local files for containers, from before images had `add_local_…`."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squall.exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from squall.image import Image

__all__ = ["Mount"]


@dataclass(frozen=True)
class Mount:
    """What to lay over an image when a container starts. Made by `from_local_…`."""

    lay: "tuple[Callable[[Image], Image], ...]"

    @classmethod
    def from_local_dir(
        cls,
        local_path: str | Path,
        *,
        remote_path: str | None = None,
        condition: Callable[[str], bool] | None = None,
        recursive: bool = True,
    ) -> "Mount":
        """The files of a directory, at `remote_path` (None: its name below `/root`). `condition` is
        True for the paths to take."""
        _old("Mount.from_local_dir(…)", "Image.add_local_dir(…)")
        place = remote_path or f"/root/{Path(local_path).name}"

        def ignored(path: Path) -> bool:
            if not recursive and len(path.parts) > 1:
                return True
            return condition is not None and not condition(str(Path(local_path) / path))

        return cls((lambda image: image.add_local_dir(local_path, _root(place), ignore=ignored),))

    @classmethod
    def from_local_file(cls, local_path: str | Path, remote_path: str | None = None) -> "Mount":
        """One file, at `remote_path` (None: its name below `/root`)."""
        _old("Mount.from_local_file(…)", "Image.add_local_file(…)")
        place = remote_path or f"/root/{Path(local_path).name}"
        return cls((lambda image: image.add_local_file(local_path, _root(place)),))

    @classmethod
    def from_local_python_packages(cls, *module_names: str) -> "Mount":
        """The source of these modules, so that containers can import them."""
        _old("Mount.from_local_python_packages(…)", "Image.add_local_python_source(…)")
        return cls((lambda image: image.add_local_python_source(*module_names),))

    def add_local_dir(self, local_path: str | Path, *, remote_path: str | None = None) -> "Mount":
        """These files and those of a directory."""
        return Mount(self.lay + Mount.from_local_dir(local_path, remote_path=remote_path).lay)

    def add_local_file(self, local_path: str | Path, remote_path: str | None = None) -> "Mount":
        """These files and one more."""
        return Mount(self.lay + Mount.from_local_file(local_path, remote_path).lay)


def _root(place: str) -> str:
    """Where an absolute or relative path of old is: relative ones began at `/root`."""
    return place if place.startswith("/") else f"/root/{place}"


def _old(name: str, new: str) -> None:
    warnings.warn(f"{name} is gone: use {new}", DeprecationError, stacklevel=3)


def mounted(image: "Image | None", default: "Image | None", mounts: object) -> "Image | None":
    """`image` with the files of `mounts` over it; None: the app's, `default`, or Debian. Without
    mounts it stays as it is. InvalidError for what is no mount."""
    if not mounts:
        return image
    from squall.image import Image

    laid = image or default or Image.debian_slim()
    assert isinstance(mounts, tuple)
    for mount in mounts:
        if not isinstance(mount, Mount):
            raise InvalidError(f"mounts must hold Mount, not {type(mount).__name__}")
        for lay in mount.lay:
            laid = lay(laid)
    return laid
