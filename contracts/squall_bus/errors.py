"""What the bus raises. Every message is one line that names the thing at fault and the remedy."""

# ruff: noqa: N818 - they are named for what happened; `Error` ends the root's name alone

from typing import Final, Literal

from squall_contracts.failures import Refused

RefusalKind = Literal["invalid", "not_found", "already_exists", "denied", "exhausted", "internal"]


PUBLISHING: Final = "publishing to"
SUBSCRIBING: Final = "subscribing to"


class BusError(Exception):
    """Root of all errors of the bus."""


class BusUnreachable(BusError):
    """Raised when no server answers, or too much waits to be sent while it doesn't."""


class BusClosed(BusError):
    """Raised when the connection was closed, by us or by the server, and can't be used again."""


class BusRefused(BusError):
    """Raised when the server won't let this user in, or won't let it do something."""


class PermissionRefused(BusRefused):
    """Raised when the user's credentials don't cover a subject."""

    def __init__(self, action: str, subject: str) -> None:
        super().__init__(action, subject)
        self.action = action
        self.subject = subject

    def __str__(self) -> str:
        return f"these credentials don't allow {self.action} {self.subject!r}: use others"


class PayloadTooLarge(BusError):
    """Raised when a message is larger than the server takes."""

    def __init__(self, subject: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(subject, size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return (
            f"a message of {self.size_bytes} bytes for {self.args[0]!r} is over the server's "
            f"limit of {self.limit_bytes}: put it in an object store"
        )


class StoreRefused(BusError):
    """Raised when the stream won't store a message: full, over a limit, a wrong last revision."""

    def __init__(self, err_code: int, description: str, subject: str = "") -> None:
        super().__init__(err_code, description, subject)
        self.err_code = err_code
        self.description = description
        self.subject = subject

    def __str__(self) -> str:
        return f"{self.subject!r} was not stored: {self.description} (code {self.err_code})"


class StoreTimeout(BusError):
    """Raised when no ack came for a stored message in all its time; it may have been stored."""

    def __init__(self, subject: str, timeout_s: float) -> None:
        super().__init__(subject, timeout_s)
        self.subject = subject
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return (
            f"{self.subject!r} was not confirmed as stored in {self.timeout_s:g} s: "
            "check that the server is up, that its disk has room, and that a stream takes this subject"
        )


class StorageOff(StoreTimeout):
    """Raised when the server is up and yet confirmed no store, as when its disk is full. What it did
    confirm is still there."""

    def __str__(self) -> str:
        return (
            f"the server is up but has not stored {self.subject!r} in {self.timeout_s:g} s: its disk "
            "is full, make room on it and try again; or no stream takes this subject"
        )


class NoResponder(BusError):
    """Raised when nobody listens to a request."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.subject = subject

    def __str__(self) -> str:
        return f"nobody answers {self.subject!r}: is the service that does running?"


class RequestTimeout(BusError):
    """Raised when a request got no reply in time."""

    def __init__(self, subject: str, timeout_s: float) -> None:
        super().__init__(subject, timeout_s)
        self.subject = subject
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"no reply to {self.subject!r} within {self.timeout_s:g} s: try again"


class UnsettledItems(BusError):
    """Raised by the take after one that handed out only those items it could confirm."""

    def __init__(self, items: int, of: int, within_s: float) -> None:
        super().__init__(items, of, within_s)
        self.items = items
        self.of = of
        self.within_s = within_s

    def __str__(self) -> str:
        return (
            f"{self.items} of the {self.of} items taken before could not be confirmed within "
            f"{self.within_s:g} s: what the server still has of them comes again, the others are lost"
        )


class ApiRefused(BusError):
    """Raised when the server's stream API answers with an error."""

    def __init__(self, err_code: int, description: str, request: str = "") -> None:
        super().__init__(err_code, description, request)
        self.err_code = err_code
        self.description = description
        self.request = request

    def __str__(self) -> str:
        return f"{self.request}: {self.description} (code {self.err_code})"


class NotFound(ApiRefused):
    """Raised when the stream or consumer asked about does not exist."""


class KeyExists(BusError):
    """Raised when a key to create has a value already."""


class RevisionMismatch(BusError):
    """Raised when a key was changed since the revision an update is based on."""


class ObjectMissing(BusError):
    """Raised when no object has that name."""


class DigestMismatch(BusError):
    """Raised when an object's bytes are not those that were put."""


class UploadDisturbed(BusError):
    """Raised when an object's chunks were stored out of order and can't be sent again."""


class Undecodable(BusError):
    """Raised when a message's bytes are not of the kind expected."""


class SquallRefusal(Exception):
    """Raise in a `respond` handler to answer with `Refused` instead of a reply."""

    def __init__(self, kind: RefusalKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def refused(self) -> Refused:
        return Refused(kind=self.kind, message=self.message)


class Retry(Exception):
    """Raise in a `consume` handler to have the message delivered again after `delay_s` seconds."""

    def __init__(self, delay_s: float = 1.0) -> None:
        super().__init__(delay_s)
        self.delay_s = delay_s
