"""Client <-> gateway: tokens that open web endpoints made with `requires_proxy_auth`."""

from typing import Annotated

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message


class TokenRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a token. Key: web_token_key(workspace, token_id)."""

    token_id: str
    workspace: str
    sha256: str
    """Of its secret, which nobody keeps."""
    created_unix_s: float
    comment: str = ""


class CreateToken(Message, frozen=True, kw_only=True):
    """Reply: TokenCreated."""

    comment: Annotated[str, Meta(max_length=200)] = ""


class TokenCreated(Message, frozen=True, kw_only=True, tag="token_created"):
    token_id: str
    secret: str
    """Said this once."""


class ListTokens(Message, frozen=True, kw_only=True):
    """Reply: TokenList."""


class TokenEntry(Message, frozen=True, kw_only=True):
    token_id: str
    created_unix_s: float
    comment: str = ""


class TokenList(Message, frozen=True, kw_only=True, tag="token_list"):
    tokens: tuple[TokenEntry, ...]


class DeleteToken(Message, frozen=True, kw_only=True):
    """Reply: Done."""

    token_id: str


CreateTokenReply = TokenCreated | Refused
TokenListReply = TokenList | Refused
