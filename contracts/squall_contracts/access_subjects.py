"""Subjects and buckets of who may do what: tokens, members, credentials, and what belongs to one key
alone. As subjects.py for calls."""

from typing import Final

from squall_contracts.subjects import _TOKEN, _token

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


# --- credentials of services, runners and containers ------------------------------------------------

MINT_SERVICE: Final = "platform.mint.service"
MINT_GUEST_ALL: Final = "platform.mint.guest.*"
MINT_FOR_RUNNER_ALL: Final = "platform.mint.runner.*"
MINT_RENEW: Final = "platform.mint.renew"
OPEN_SECRETS_ALL: Final = "platform.secrets.open.*"
OPEN_BUILD_SECRETS: Final = "platform.secrets.build"
"""Builder -> gateway (request): OpenBuildSecrets."""


def mint_guest(runner_id: str) -> str:
    """Runner -> gateway (request): MintGuest. A runner may publish there under its own id alone."""
    return f"platform.mint.guest.{_token(runner_id)}"


def mint_for_runner(runner_id: str) -> str:
    """Runner -> gateway (request): MintService, as that runner."""
    return f"platform.mint.runner.{_token(runner_id)}"


def open_secrets(runner_id: str) -> str:
    """Runner -> gateway (request): OpenSecrets, as that runner."""
    return f"platform.secrets.open.{_token(runner_id)}"


# --- what belongs to one key ---------------------------------------------------------------------


def reply_owner(owner: str) -> str:
    """The part of reply subjects that belongs to one key, whose public part is `owner`: nobody else
    may listen there."""
    return _token(owner[1:21] or owner)


def client_id(owner: str, process: str) -> str:
    """The id of one process that holds the key `owner`."""
    return f"{reply_owner(owner)}.{_token(process)}"


def is_reply(subject: str, call_id: str) -> bool:
    """Whether results of this call, and nothing else, go there. Clients and user code say what they
    like: nothing else of it may reach a subject or a key."""
    parts = subject.split(".")
    return (
        len(parts) == 5
        and parts[0] in {"reply", "result"}
        and parts[4] == call_id
        and all(map(_TOKEN.fullmatch, parts))
    )


def inbox_owner(prefix: str) -> str:
    """Whose inbox that is, see inbox."""
    return prefix.removeprefix("_INBOX_").partition(".")[0]
