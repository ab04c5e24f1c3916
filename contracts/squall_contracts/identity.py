"""Services and guests <-> gateway: workspaces, and the credentials that open them."""

from typing import Annotated

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

CREDENTIAL_TTL_S = 3600.0


MIN_STORAGE_MIB = 1536
"""Logs alone may take a gigabyte, which the server sets aside."""


class Quota(Message, frozen=True, kw_only=True):
    """The most a workspace's containers may hold at a time, and what NATS keeps of it. None, or a
    type not named: no limit."""

    containers: Annotated[int, Meta(ge=0)] | None = None
    cpu: Annotated[float, Meta(ge=0)] | None = None
    """Cores."""
    memory_mib: Annotated[int, Meta(ge=0)] | None = None
    gpus: dict[str, Annotated[int, Meta(ge=0)]] = {}
    """Devices by type, in capitals."""
    storage_mib: Annotated[int, Meta(ge=MIN_STORAGE_MIB)] | None = None
    """Of all streams and objects together."""
    streams: Annotated[int, Meta(ge=16)] | None = None
    connections: Annotated[int, Meta(ge=1)] | None = None
    """Of clients, containers and services to NATS."""


class WorkspaceRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a workspace. Key: its account id."""

    account: str
    name: str
    created_unix_s: float
    quota: Quota = Quota()
    weight: Annotated[float, Meta(gt=0)] = 1.0
    """Its part of the machines, beside the weights of others, when there isn't enough."""


class CreateWorkspace(Message, frozen=True, kw_only=True):
    """By an operator. Reply: WorkspaceEntry."""

    name: str


class ListWorkspaces(Message, frozen=True, kw_only=True):
    """By an operator. Reply: WorkspaceList."""


class SetQuota(Message, frozen=True, kw_only=True):
    """By an operator: the quota and weight of a workspace, in place of what held. Reply:
    WorkspaceEntry."""

    name: str
    quota: Quota
    weight: Annotated[float, Meta(gt=0)] = 1.0


class WorkspaceEntry(Message, frozen=True, kw_only=True, tag="workspace"):
    account: str
    name: str
    created_unix_s: float
    quota: Quota = Quota()
    weight: float = 1.0
    admin_token: str = ""
    """Of a workspace that was just made: its first token, said this once."""


class WorkspaceList(Message, frozen=True, kw_only=True, tag="workspace_list"):
    workspaces: tuple[WorkspaceEntry, ...]


WorkspaceReply = WorkspaceEntry | Refused
WorkspaceListReply = WorkspaceList | Refused


class MintService(Message, frozen=True, kw_only=True):
    """Service -> gateway (PLATFORM): a user for me in this workspace's account. Reply: Minted."""

    service: str
    account: str
    public_key: str


class MintGuest(Message, frozen=True, kw_only=True):
    """Runner -> gateway (PLATFORM): the two users of a container that was placed there. What it may
    is read from the registry. Reply: MintedGuest."""

    container_id: str
    guest_public_key: str
    client_public_key: str


class Renew(Message, frozen=True, kw_only=True):
    """Any holder of a JWT -> gateway: the same rights for the same key, for another while.
    The old JWT must still be good. Reply: Minted."""

    jwt: str


class Minted(Message, frozen=True, kw_only=True, tag="minted"):
    jwt: str
    expires_unix_s: float


class MintedGuest(Message, frozen=True, kw_only=True, tag="minted_guest"):
    guest_jwt: str
    client_jwt: str
    expires_unix_s: float


MintReply = Minted | Refused
MintGuestReply = MintedGuest | Refused
OfWorkspace = CreateWorkspace | SetQuota
