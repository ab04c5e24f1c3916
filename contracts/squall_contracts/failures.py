"""Failure as data: what went wrong, in a form every service can carry and only client and guest open."""

from typing import Literal

from squall_contracts.message import Message

FailureKind = Literal[
    "exception",  # user code raised
    "timeout",  # an input ran longer than the function's timeout
    "cancelled",  # somebody cancelled the call, or stopped its app
    "container_lost",  # the container died under the input more often than is retried
    "startup",  # the container could not be made ready: import, enter, image, resources
    "result",  # the result could not be pickled
    "arguments",  # the arguments could not be unpickled in the container
    "internal",  # a fault of Squall's own
]


class Failure(Message, frozen=True, kw_only=True):
    """Why an input has no result."""

    kind: FailureKind
    message: str
    """One line that names the cause, such as `ValueError: bad row` or `container killed: out of memory`."""
    exception_type: str = ""
    """Qualified name of the exception's class; empty where there was none."""
    traceback: str = ""
    """The remote traceback as text, trimmed to user code; empty where there was none."""
    pickled: bytes | None = None
    """The exception itself, cloudpickled; None where it can't be pickled. Opened by clients only."""


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """The reply of a service that won't do what it was asked, in place of the reply asked for."""

    kind: Literal["invalid", "not_found", "already_exists", "denied", "exhausted", "internal"]
    message: str
    """Names the field or thing at fault and says what to do."""
