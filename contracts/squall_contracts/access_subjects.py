"""Subjects and buckets of tokens, members and revocations: as subjects.py for calls."""

from typing import Final

from squall_contracts.subjects import _token

SIGN_IN: Final = "up.signin"
"""Lobby -> gateway (request): SignIn."""
SIGN_IN_ALL: Final = "up.*.signin"
"""The same as PLATFORM sees it. Secrets are in it: nobody but the gateway listens."""
LOBBY_OWNER: Final = "lobby"
"""Owner of all inboxes in the lobby's account; what comes there is of use to its asker alone."""

ACCESS_TOKENS_BUCKET: Final = "access_tokens"
"""Tokens of users and runners: their hashes only."""
MEMBERS_BUCKET: Final = "members"
"""Who belongs to which workspace."""
SIGN_INS_BUCKET: Final = "sign_ins"
"""Keys that live credentials were made for, by token; entries expire with the credentials."""
REVOCATIONS_BUCKET: Final = "revocations"
"""Keys whose credentials are good no more; entries expire when the credentials would have."""


def member_key(account: str, user: str) -> str:
    """A user's name may have an '@' or a '.', which a part of a key may not."""
    return f"{_token(account)}.{_token(user.encode().hex())}"


def sign_in_key(token_id: str, public_key: str) -> str:
    return f"{_token(token_id)}.{_token(public_key)}"


def revocation_key(account: str, public_key: str) -> str:
    return f"{_token(account)}.{_token(public_key)}"


def token_key(token_id: str) -> str:
    return _token(token_id)
