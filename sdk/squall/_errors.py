"""Errors of the bus and refusals of services, as the public exceptions users catch."""

from typing import TYPE_CHECKING

from squall_contracts.failures import Refused

from squall.exception import (
    AlreadyExistsError,
    AuthError,
    ClientClosed,
    ConnectionError,
    DataLossError,
    Error,
    InternalError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    RequestSizeError,
    ResourceExhaustedError,
    ServiceError,
)

if TYPE_CHECKING:
    from squall_bus.errors import BusError

_REFUSALS: dict[str, type[Error]] = {
    "invalid": InvalidError,
    "not_found": NotFoundError,
    "already_exists": AlreadyExistsError,
    "denied": PermissionDeniedError,
    "exhausted": ResourceExhaustedError,
    "internal": InternalError,
}


def of_refusal(refused: Refused) -> Error:
    """What a service's refusal means to the user."""
    return _REFUSALS[refused.kind](refused.message)


def of_bus(error: "BusError") -> Error:
    """What a failure of the bus means to the user; the original is its cause."""
    from squall_bus import errors as bus

    kinds: tuple[tuple[type[bus.BusError], type[Error]], ...] = (
        (bus.PermissionRefused, PermissionDeniedError),
        (bus.BusRefused, AuthError),
        (bus.BusClosed, ClientClosed),
        (bus.PayloadTooLarge, RequestSizeError),
        (bus.StoreRefused, ResourceExhaustedError),
        (bus.BusUnreachable, ConnectionError),
        (bus.StorageOff, ResourceExhaustedError),
        (bus.StoreTimeout, ConnectionError),
        (bus.NoResponder, ServiceError),
        (bus.RequestTimeout, ServiceError),
        (bus.UnsettledItems, DataLossError),
        (bus.ObjectMissing, NotFoundError),
        (bus.DigestMismatch, DataLossError),
    )
    for theirs, ours in kinds:
        if isinstance(error, theirs):
            translated = ours(str(error))
            break
    else:
        translated = InternalError(str(error))
    translated.__cause__ = error
    return translated
