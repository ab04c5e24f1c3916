"""Cron's knobs."""

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    late_s: Seconds = 3600.0
    """A due time missed by more, while no replica ran, is skipped."""
    look_s: Seconds = 60.0
    """Between looks at the wall clock at most: it may be set, and machines sleep."""
    lease_ttl_s: Seconds = 10.0
    """How long a killed leader keeps its replicas waiting."""
    drain_s: Seconds = 5.0
