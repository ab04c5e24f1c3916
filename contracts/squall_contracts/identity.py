"""Services and guests <-> gateway: workspaces, and the credentials that open them."""

from squall_contracts.failures import Refused
from squall_contracts.message import Message

CREDENTIAL_TTL_S = 3600.0


class WorkspaceRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a workspace. Key: its account id."""

    account: str
    name: str
    created_unix_s: float


class MintService(Message, frozen=True, kw_only=True):
    """Service -> gateway (PLATFORM): a user for me in this workspace's account. Reply: Minted."""

    service: str
    account: str
    public_key: str


class MintGuest(Message, frozen=True, kw_only=True):
    """Runner -> gateway (PLATFORM): the two users of a container. Reply: MintedGuest."""

    account: str
    container_id: str
    function_id: str
    environment: str
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
