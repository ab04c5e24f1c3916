"""The autoscaler's knobs."""

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    max_containers: Annotated[int, Meta(ge=1)] = 100
    """Cap of every function that declares none, and of those that declare more."""
    horizon_s: Seconds = 1.0
    """Have enough containers to finish what waits within this time."""
    stall_s: Seconds = 5.0
    """Work that has not got less for so long runs longer than its average says."""
    eager_tick_s: Seconds = 0.1
    """Between samples while work of unknown run time waits."""
    tick_s: Seconds = 1.0
    """Between samples of a workspace with an active function."""
    idle_tick_s: Seconds = 5.0
    """Between samples of one without: the net under lost hints."""
    lease_ttl_s: Seconds = 10.0
    """How long a killed leader keeps its replicas waiting."""
    drain_s: Seconds = 5.0
