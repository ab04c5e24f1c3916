"""Container -> gateway: make a port of mine reachable from outside while I want it."""

from typing import Annotated, Final

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

CONTROL: Final = "control"
"""The session on a tunnel's line that lasts as long as the tunnel; others are connections."""


class OpenTunnel(Message, frozen=True, kw_only=True):
    """Reply: TunnelOpened; the line is that of terminal_subjects.tunnel_to_gateway."""

    container_id: str
    tunnel_id: str
    """Chosen by the container, and known to nobody else."""
    port: Annotated[int, Meta(ge=1, le=65535)]
    """Inside the container."""


class TunnelOpened(Message, frozen=True, kw_only=True, tag="tunnel_opened"):
    host: str
    port: int


OpenTunnelReply = TunnelOpened | Refused
