"""What goes wrong with volumes, one line each. Missing files and the like are Python's own errors."""

# ruff: noqa: N818 - they are named for what happened; `Error` ends the root's name alone


class VolumeError(Exception):
    """Root of the errors of volumes."""


class InvalidPath(VolumeError, ValueError):
    """Raised when a path can't be one inside a volume."""


class VolumeMissing(VolumeError):
    """Raised when there is no volume of that name or id."""


class VolumeExists(VolumeError):
    """Raised when a volume of that name exists already."""


class VolumeDamaged(VolumeError):
    """Raised when what a volume refers to is not in the object store, or is not what it should be."""


class ViewOutOfReach(VolumeError):
    """Raised when a container's view of a volume can't be written to from its runner's process."""


class UploadExpired(VolumeError):
    """Raised when an upload took so long that what it relied on may have been removed."""


def first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a group of tasks failed of, whatever it was wrapped in."""
    error: BaseException = failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
