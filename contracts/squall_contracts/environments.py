"""Environments: the parts of a workspace that keep apps, secrets and their data apart."""

from typing import Final

from squall_contracts.failures import Refused
from squall_contracts.message import Message

DEFAULT: Final = "main"
"""There in every workspace, and can't be deleted."""


class CreateEnvironment(Message, frozen=True, kw_only=True):
    """Reply: EnvironmentEntry. Refused when there is one of that name."""

    name: str
    web_suffix: str = ""


class UpdateEnvironment(Message, frozen=True, kw_only=True):
    """Reply: EnvironmentEntry."""

    name: str
    web_suffix: str | None = None
    """None: as it is."""
    new_name: str = ""
    """Empty: as it is. Refused while apps run in it."""


class DeleteEnvironment(Message, frozen=True, kw_only=True):
    """Delete it with all that is in it: apps stop, secrets and stored calls go. Reply: Done."""

    name: str


class ListEnvironments(Message, frozen=True, kw_only=True):
    """Reply: EnvironmentList."""


class FindEnvironment(Message, frozen=True, kw_only=True):
    """Reply: EnvironmentEntry. Refused with the names there are."""

    name: str


class EnvironmentEntry(Message, frozen=True, kw_only=True, tag="environment"):
    name: str
    web_suffix: str
    """Goes into the addresses of its web endpoints; empty for the default one."""
    created_unix_s: float


class EnvironmentList(Message, frozen=True, kw_only=True, tag="environment_list"):
    environments: tuple[EnvironmentEntry, ...]


class EnvironmentRecord(Message, frozen=True, kw_only=True):
    """Registry entry. Key: registry key environment_key(…)."""

    workspace: str
    name: str
    web_suffix: str = ""
    created_unix_s: float
    renamed_from: str = ""
    """The environment that is being moved here; empty once all of it is."""


EnvironmentReply = EnvironmentEntry | Refused
EnvironmentListReply = EnvironmentList | Refused
