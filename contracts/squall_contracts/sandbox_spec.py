"""What a sandbox runs and how long: the part of a FunctionSpec that makes a container a sandbox."""

from typing import Annotated, Final

from msgspec import Meta

from squall_contracts.message import Message
from squall_contracts.terminals import Screen

MAX_ARGUMENT_BYTES: Final = 64 * 1024
"""All arguments of a sandbox's or of a command's together."""

Port = Annotated[int, Meta(ge=1, le=65535)]


class Probe(Message, frozen=True, kw_only=True):
    """How the runner finds out that a sandbox is ready. Exactly one of `port` and `argv`."""

    port: Port | None = None
    """It takes connections at this port."""
    argv: tuple[str, ...] = ()
    """This command ends with 0 in it."""
    interval_s: Annotated[float, Meta(gt=0, le=3600)] = 0.1


class SandboxSpec(Message, frozen=True, kw_only=True):
    """A container that runs one command and what clients ask it to run beside that.

    The other half is the FunctionSpec it is in: image, files, variables, secrets, resources, volumes,
    network; `timeout_s` is its lifetime.
    """

    argv: tuple[str, ...] = ()
    """Empty: the image's own command, or none: it waits to be ended."""
    workdir: str = ""
    """Absolute; empty: the image's, or /root."""
    idle_timeout_s: Annotated[float, Meta(gt=0)] | None = None
    """Ended when nobody used it for so long: no command in it, no input, no connection. None: never."""
    screen: Screen | None = None
    """Its command has a pseudo-terminal of that size; None: pipes."""
    ports: tuple[Port, ...] = ()
    """Ports reachable from outside, in the clear."""
    inbound_cidrs: tuple[str, ...] | None = None
    """Networks that may connect to `ports`; None: all."""
    probe: Probe | None = None
