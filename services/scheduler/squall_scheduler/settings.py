"""The scheduler's knobs."""

from typing import Annotated

import msgspec
from msgspec import Meta
from squall_contracts.identity import Quota

from squall_scheduler.brakes import BrakeLimits
from squall_scheduler.core import Limits

Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    grace_s: Seconds = 30.0
    """At least so long a container that others take over from may finish what it runs: as long as
    one of its inputs may run, if that is longer."""
    lost_after_s: Seconds = 6.0
    """Beyond the end of a runner's lease, until its silent containers are given up."""
    settle_s: Seconds = 2.0
    """A container must be wanted for so long before it is called impossible to place."""
    watch_s: Seconds = 10.0
    """And the machines watched for so long: some may be about to join."""
    turn_s: Seconds = 3.0
    """Until a container makes room for a workspace that holds nothing; times its own's weight."""
    idle_after_s: Seconds = 5.0
    """A ready container that told of no work for so long has none, and makes room for anybody."""
    quota_containers: Annotated[int, Meta(ge=0)] | None = None
    """The most containers a workspace may have at a time whose own quota names no figure; None: as
    many as there is room for."""
    quota_cpu: Annotated[float, Meta(ge=0)] | None = None
    """The same for reserved cores."""
    quota_memory_mib: Annotated[int, Meta(ge=0)] | None = None
    ack_wait_s: Seconds = 8.0
    """A delivery neither acked nor extended for so long goes to another container."""
    max_deliver: Count = 1_000_000
    """Deliveries of one message, for whatever reason, before it is given up. Guests hand back what
    they haven't begun, so the count says nothing of deaths, which are counted apart; this only ends
    an input that takes its whole machine down each time, with nobody left to tell of it."""
    max_ack_pending: Count = 20_000
    """Deliveries of one function and lane that may be running at a time."""
    max_deaths: Count = 8
    """Containers that may die under an input before it is given up."""
    deaths_kept_s: Seconds = 3600.0
    ephemeral_attempts: Count = 1
    """Containers of a run that may fail to start before its waiting inputs are failed."""
    deployed_attempts: Count = 3
    """The same, one after another, of a deployed app."""
    breaker_s: Seconds = 10.0
    """At least so long a function that was given up answers with its last failure at once, before
    one more container is tried."""
    brake_failures: Count = 5
    """Containers that may fail on one machine within `brake_within_s` before it gets no work."""
    brake_within_s: Seconds = 300.0
    brake_rest_s: Seconds = 60.0
    ended_kept_s: Seconds = 3600.0
    """How long an ended container can still be listed."""
    prefetch_machines: Annotated[int, Meta(ge=0)] = 3
    """Machines told of a deployed function before anybody calls it; 0: none."""
    idle_durables_s: Seconds = 600.0
    """A function without target, containers and inputs for so long gives up its consumers."""
    sweep_s: Seconds = 15.0
    """Between looks at functions that only time or a lost hint can change."""
    lease_ttl_s: Seconds = 10.0
    """How long a killed leader keeps its replicas waiting."""
    drain_s: Seconds = 10.0

    def limits(self) -> Limits:
        return Limits(
            grace_s=self.grace_s,
            lost_after_s=self.lost_after_s,
            settle_s=self.settle_s,
            watch_s=self.watch_s,
            turn_s=self.turn_s,
            idle_after_s=self.idle_after_s,
        )

    def quota(self) -> Quota:
        """Of workspaces that have none of their own."""
        return Quota(
            containers=self.quota_containers, cpu=self.quota_cpu, memory_mib=self.quota_memory_mib
        )

    def brake(self) -> BrakeLimits:
        return BrakeLimits(
            failures=self.brake_failures, within_s=self.brake_within_s, rest_s=self.brake_rest_s
        )
