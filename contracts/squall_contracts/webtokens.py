"""Client <-> gateway: tokens that open web endpoints made with `requires_proxy_auth`, or the REST
API."""

from typing import Annotated, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message

Scope = Literal["web", "api", "dashboard"]
"""`web`: web endpoints made with `requires_proxy_auth`. `api`: the REST API of its workspace.
`dashboard`: a browser's session, until the token is deleted."""


class TokenRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a token. Key: web_token_key(workspace, token_id)."""

    token_id: str
    workspace: str
    sha256: str
    """Of its secret, which nobody keeps."""
    created_unix_s: float
    comment: str = ""
    scopes: tuple[Scope, ...] = ("web",)


class CreateToken(Message, frozen=True, kw_only=True):
    """Reply: TokenCreated."""

    comment: Annotated[str, Meta(max_length=200)] = ""
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("web",)


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
    scopes: tuple[Scope, ...] = ("web",)


class TokenList(Message, frozen=True, kw_only=True, tag="token_list"):
    tokens: tuple[TokenEntry, ...]


class DeleteToken(Message, frozen=True, kw_only=True):
    """Reply: Done."""

    token_id: str


CreateTokenReply = TokenCreated | Refused
TokenListReply = TokenList | Refused
