"""Knobs of the gateway."""

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    keys_dir: str
    """Directory of the operator's and the accounts' seeds; made when it is missing."""
    workspaces: tuple[str, ...] = ("main",)
    """Workspaces that exist from the start; others are made by whoever holds the keys."""
    credential_ttl_s: Positive = 3600.0
    """For how long credentials are minted; holders renew them before."""
    app_ttl_s: Positive = 45.0
    """An ephemeral app whose client is silent for so long is stopped."""
    stopped_ttl_s: Positive = 3600.0
    """For how long a stopped ephemeral app stays listed."""
    pool_idle_s: Positive = 3600.0
    """A pool of a class's parameters, or of options, that nobody asked for or used for so long is
    removed until somebody does. Clients ask again after half of it."""
    versions_kept: Annotated[int, Meta(ge=1)] = 20
    """Of each deployed app: how many versions are listed, and can be rolled back to."""
    drain_s: Positive = 10.0
