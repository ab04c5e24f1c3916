"""Errors of volumes as the public exceptions users catch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from squall import _client
from squall.exception import (
    AlreadyExistsError,
    DataLossError,
    Error,
    InvalidError,
    NotFoundError,
    VolumeUploadTimeoutError,
)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Errors of the bus and of volumes leave this block as those of squall.exception; Python's own,
    such as FileNotFoundError, as they are."""
    from squall_volumes import errors

    kinds: dict[type[errors.VolumeError], type[Error]] = {
        errors.InvalidPath: InvalidError,
        errors.VolumeMissing: NotFoundError,
        errors.VolumeExists: AlreadyExistsError,
        errors.VolumeDamaged: DataLossError,
        errors.UploadExpired: VolumeUploadTimeoutError,
    }
    try:
        async with _client.translated():
            yield
    except errors.VolumeError as error:
        raise kinds[type(error)](str(error)) from error
