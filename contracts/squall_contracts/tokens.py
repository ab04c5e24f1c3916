"""Clients and runners <-> gateway: tokens, who they stand for, and credentials in exchange."""

from typing import Annotated, Final

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message
from squall_contracts.scopes import Scope, included

MAX_LIFE_S: Final = 10 * 365 * 86400.0
Comment = Annotated[str, Meta(max_length=200)]
User = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$")]
"""A name or mail address."""


class Caller(Message, frozen=True, kw_only=True):
    """Who presents a token, as the gateway knows them."""

    token_id: str
    account: str
    workspace: str
    user: str
    scopes: tuple[Scope, ...]
    expires_unix_s: float | None = None
    """When the token ends; None: never."""

    def may(self, scope: Scope) -> bool:
        return scope in included(self.scopes)


# --- credentials in exchange for a token ------------------------------------------------------------


class SignIn(Message, frozen=True, kw_only=True):
    """From the lobby: credentials for a key of mine, in exchange for a token. Reply: SignedIn."""

    token: Annotated[str, Meta(max_length=256)]
    """`<id>.<secret>`."""
    public_key: str
    runner_id: Annotated[str, Meta(max_length=128)] = ""
    """To join as that runner, with a token of scope `runner`; empty: to sign in to a workspace."""


class SignedIn(Message, frozen=True, kw_only=True, tag="signed_in"):
    jwt: str
    expires_unix_s: float
    caller: Caller


# --- tokens -----------------------------------------------------------------------------------------


class IssueToken(Message, frozen=True, kw_only=True):
    """A token of this workspace for a user of it. Reply: TokenIssued."""

    user: User
    scopes: tuple[Scope, ...] = ()
    """Empty: all the user may have."""
    life_s: Annotated[float, Meta(gt=0, le=MAX_LIFE_S)] | None = None
    """None: it does not expire."""
    comment: Comment = ""


class IssuePlatformToken(Message, frozen=True, kw_only=True):
    """As IssueToken, by an operator: with scopes beyond one workspace. Reply: TokenIssued."""

    user: User
    scopes: tuple[Scope, ...]
    life_s: Annotated[float, Meta(gt=0, le=MAX_LIFE_S)] | None = None
    comment: Comment = ""


class TokenIssued(Message, frozen=True, kw_only=True, tag="token_issued"):
    token_id: str
    secret: str
    """Said this once."""
    user: str
    scopes: tuple[Scope, ...]
    expires_unix_s: float | None = None


class ListAccessTokens(Message, frozen=True, kw_only=True):
    """Reply: AccessTokenList."""


class AccessTokenEntry(Message, frozen=True, kw_only=True):
    token_id: str
    user: str
    scopes: tuple[Scope, ...]
    created_unix_s: float
    expires_unix_s: float | None = None
    comment: str = ""
    runner_id: str = ""


class AccessTokenList(Message, frozen=True, kw_only=True, tag="access_token_list"):
    tokens: tuple[AccessTokenEntry, ...]


class RevokeToken(Message, frozen=True, kw_only=True):
    """End a token, and every connection made with it, at once. Reply: Done."""

    token_id: str


class RotateToken(Message, frozen=True, kw_only=True):
    """Give a token another secret. Reply: TokenIssued."""

    token_id: str
    grace_s: Annotated[float, Meta(ge=0, le=30 * 86400)] = 0.0
    """For so long the old secret is good, too. 0: connections made with it end at once."""


# --- members ----------------------------------------------------------------------------------------


class PutMember(Message, frozen=True, kw_only=True):
    """Add a user to this workspace, or change what tokens of theirs may have. Reply: MemberEntry."""

    user: User
    scopes: tuple[Scope, ...] = ("deploy",)


class RemoveMember(Message, frozen=True, kw_only=True):
    """Take a user out: their tokens are revoked. Reply: Done."""

    user: User


class ListMembers(Message, frozen=True, kw_only=True):
    """Reply: MemberList."""


class MemberEntry(Message, frozen=True, kw_only=True, tag="member"):
    user: str
    scopes: tuple[Scope, ...]
    added_unix_s: float


class MemberList(Message, frozen=True, kw_only=True, tag="member_list"):
    members: tuple[MemberEntry, ...]


# --- registry ---------------------------------------------------------------------------------------


class AccessTokenRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a token. Key: its id."""

    token_id: str
    account: str
    user: str
    scopes: tuple[Scope, ...]
    sha256: str
    """Of its secret, which nobody keeps."""
    created_unix_s: float
    expires_unix_s: float | None = None
    comment: str = ""
    old_sha256: str = ""
    """Of the secret before the last rotation."""
    old_until_unix_s: float = 0.0
    runner_id: str = ""
    """The runner that joined with it: no other can."""
    runner_key: str = ""
    """That runner's public key: whoever has its seed may sign in again."""


class SignInRecord(Message, frozen=True, kw_only=True):
    """Registry entry (expires): a key that live credentials were made for. Key: sign_in_key(…)."""

    account: str
    """The account the credentials are of: the workspace's, or PLATFORM of a runner."""


class Revocation(Message, frozen=True, kw_only=True):
    """Registry entry (expires): credentials of this key made until then are good no more."""

    at_unix_s: int


SignInReply = SignedIn | Refused
IssueReply = TokenIssued | Refused
AccessTokenListReply = AccessTokenList | Refused
MemberReply = MemberEntry | Refused
MemberListReply = MemberList | Refused
Issuing = IssueToken | IssuePlatformToken | RotateToken
