"""The immutable chain an image is: a base, steps on it, and local files laid over it."""

import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from squall_contracts import images

from squall._image.layers import DockerfileBase, Layer, LocalFiles, Ready
from squall._image.secrets import with_secrets
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall.secret import Secret

P = ParamSpec("P")
R = TypeVar("R")


class Chain:
    """State of an image and how it grows. Nothing here reads a file or the network."""

    _base: images.DebianSlim | images.Registry | images.Snapshot | DockerfileBase
    _layers: tuple[Layer, ...]
    _overlays: tuple[LocalFiles, ...]
    _force: str
    _import_failure: Exception | None
    """What the last `imports()` block raised here. Guests raise it for a function of this image."""
    _built_id: str | None = None
    """Its id once `build` was called."""

    def __init__(self) -> None:
        raise InvalidError(
            "an Image isn't made by calling Image(): start from Image.debian_slim() or another base"
        )

    @classmethod
    def _from(
        cls,
        base: images.DebianSlim | images.Registry | images.Snapshot | DockerfileBase,
        force_build: bool,
    ) -> Self:
        image = object.__new__(cls)
        image._base = base
        image._layers = ()
        image._overlays = ()
        image._force = secrets.token_hex(8) if force_build else ""
        image._import_failure = None
        return image

    def _grown(
        self, layers: tuple[Layer, ...], overlays: tuple[LocalFiles, ...], force_build: bool
    ) -> Self:
        image = object.__new__(type(self))
        image._base = self._base
        image._layers = self._layers + layers
        image._overlays = self._overlays + overlays
        image._force = secrets.token_hex(8) if force_build else self._force
        image._import_failure = None
        return image

    def _then(
        self, layer: Layer, force_build: bool = False, secrets: "tuple[Secret, ...]" = ()
    ) -> Self:
        """This image and one more build step. InvalidError: local files already lie over it."""
        if self._overlays:
            raise InvalidError(
                f"{layer.label} can't follow {self._overlays[-1].label}: local files are laid over "
                f"the finished image; move {self._overlays[-1].label} to the end, "
                "or give it copy=True"
            )
        if not isinstance(force_build, bool):
            raise InvalidError(f"{layer.label}: force_build takes True or False")
        return self._grown((with_secrets(layer, secrets),), (), force_build)

    def _step(
        self,
        label: str,
        step: images.Step,
        force_build: bool = False,
        secrets: "tuple[Secret, ...]" = (),
    ) -> Self:
        return self._then(Ready(label, step), force_build, secrets)

    def _lay_over(self, files: LocalFiles) -> Self:
        return self._grown((), (files,), False)

    def pipe(self, func: Callable[Concatenate[Self, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`func(self, *args, **kwargs)`: apply a function of images within a chain."""
        return func(self, *args, **kwargs)

    @contextmanager
    def imports(self) -> Iterator[None]:
        """Imports inside this block may fail here; they must work in containers of this image.

        In a container of this image the failure is raised when the function is loaded.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a package raises while it is imported
            if not isinstance(error, ImportError):
                warnings.warn(
                    f"an imports() block raised {error!r}; it is raised again in containers",
                    stacklevel=3,
                )
            self._import_failure = error

    def raise_import_failure(self) -> None:
        """In a container: raise what an import in an `imports()` block failed with, if any did."""
        if self._import_failure is not None:
            raise self._import_failure

    def __repr__(self) -> str:
        labels = [layer.label for layer in self._layers] + [laid.label for laid in self._overlays]
        steps = "".join(f".{label}(...)" for label in labels)
        return f"<Image {type(self._base).__name__}{steps}>"
