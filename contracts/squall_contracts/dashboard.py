"""Client <-> gateway: the way into the dashboard."""

from squall_contracts.failures import Refused
from squall_contracts.message import Message


class OpenDashboard(Message, frozen=True, kw_only=True):
    """Let a browser in. Reply: DashboardDoor."""


class DashboardDoor(Message, frozen=True, kw_only=True, tag="dashboard_door"):
    url: str
    """Where the dashboard is."""
    code: str
    """What its login page takes, once, until `expires_unix_s`."""
    expires_unix_s: float


OpenDashboardReply = DashboardDoor | Refused
