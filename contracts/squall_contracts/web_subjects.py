"""Subjects and buckets of web endpoints: as subjects.py for calls."""

from functools import lru_cache
from typing import Final

from squall_contracts.subjects import _token, check_environment

WEB_TOKENS_BUCKET: Final = "web_tokens"
"""Tokens that open web endpoints: their hashes only."""


@lru_cache(1024)
def web_up(environment: str, function_id: str, ingress_id: str) -> str:
    """Unstored: Frames of a function's guests to one ingress. The ingress's id is a secret between
    it and the guests it gave requests to."""
    return f"web.up.{check_environment(environment)}.{_token(function_id)}.{_token(ingress_id)}"


def web_ask(environment: str, function_id: str, ingress_id: str) -> str:
    """Guest -> ingress (request): WebAsk."""
    return f"web.ask.{check_environment(environment)}.{_token(function_id)}.{_token(ingress_id)}"


@lru_cache(1024)
def web_down(environment: str, function_id: str, container_id: str) -> str:
    """Unstored: Frames of an ingress to one container."""
    return f"web.down.{check_environment(environment)}.{_token(function_id)}.{_token(container_id)}"


def web_of(ingress_id: str) -> tuple[str, str]:
    """What an ingress hears in a workspace: frames, and what guests ask."""
    return f"web.up.*.*.{_token(ingress_id)}", f"web.ask.*.*.{_token(ingress_id)}"


def web_speaker(subject: str) -> str:
    """The function whose guest spoke: nobody else may publish there."""
    return subject.split(".")[3]


def parked(session: str) -> str:
    """Gateway -> gateway (request): ClaimParked, of a response that waits for its client."""
    return f"platform.web.parked.{_token(session)}"


def lent(gateway_id: str) -> str:
    """Unstored: Frames of a response between the gateway that has it and one it is asked for at."""
    return f"platform.web.lent.{_token(gateway_id)}"


def web_token_key(account: str, token_id: str) -> str:
    return f"{_token(account)}.{_token(token_id)}"


def web_token_anywhere(token_id: str) -> tuple[str, str]:
    """Stream and filter of a token's entry, whichever workspace it is of."""
    return f"KV_{WEB_TOKENS_BUCKET}", f"$KV.{WEB_TOKENS_BUCKET}.*.{_token(token_id)}"
