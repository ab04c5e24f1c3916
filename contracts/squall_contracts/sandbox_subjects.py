"""Subjects and buckets of sandboxes: as subjects.py for calls."""

import hashlib
from typing import Final

from squall_contracts.subjects import _token

SANDBOXES_BUCKET: Final = "sandboxes"
SANDBOX_NAMES_BUCKET: Final = "sandbox_names"
"""Which sandbox of an app has a name."""


def sandbox_key(account: str, sandbox_id: str) -> str:
    return f"{_token(account)}.{_token(sandbox_id)}"


def sandbox_name_key(account: str, app_id: str, name: str) -> str:
    """Names may hold what keys may not."""
    return f"{_token(account)}.{_token(app_id)}.{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def runner_sandboxes(runner_id: str) -> str:
    """Gateway -> runner (request): one of sandboxes.RunnerAsked."""
    return f"platform.sandbox.{_token(runner_id)}"


def port_to_runner(runner_id: str, tunnel_id: str) -> str:
    """Gateway -> runner: the line of a sandbox's port that is reachable from outside."""
    return f"platform.port.{_token(runner_id)}.{_token(tunnel_id)}"


def port_from_runner(runner_id: str, tunnel_id: str) -> str:
    """Runner -> gateway: its other direction."""
    return f"platform.port_back.{_token(runner_id)}.{_token(tunnel_id)}"


def ports_to_runner(runner_id: str) -> str:
    return f"platform.port.{_token(runner_id)}.*"


def ports_from_runner(runner_id: str) -> str:
    return f"platform.port_back.{_token(runner_id)}.*"


def sandbox_feed(account: str, sandbox_id: str) -> str:
    """Platform side: SandboxInfo for the workspace's waiting clients, unstored, on each change."""
    return f"down.{_token(account)}.sandbox.{_token(sandbox_id)}"


def down_sandbox(sandbox_id: str) -> str:
    """Workspace side of sandbox_feed."""
    return f"down.sandbox.{_token(sandbox_id)}"
