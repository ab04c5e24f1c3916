"""What containers and machines use just now: client -> gateway -> every runner.

Processor time is counted from some beginning: who asks twice knows what was used in between.
"""

from squall_contracts.failures import Refused
from squall_contracts.message import Message


class GetUsage(Message, frozen=True, kw_only=True):
    """Client -> gateway. Reply: UsageNow."""


class RunnerUsage(Message, frozen=True, kw_only=True):
    """Gateway -> runner: your machine, and the containers of this workspace. Reply: UsageNow."""

    workspace: str


class ContainerUsage(Message, frozen=True, kw_only=True):
    container_id: str
    cpu_s: float
    """Processor time of all its processes."""
    memory_bytes: int
    at_unix_s: float


class GpuUsage(Message, frozen=True, kw_only=True):
    kind: str
    busy: float | None = None
    """The part of the time it works; None: the device doesn't tell."""
    memory_bytes: int | None = None
    memory_total_bytes: int | None = None


class MachineUsage(Message, frozen=True, kw_only=True):
    runner_id: str
    hostname: str
    cores: float
    cpu_s: float
    """Processor time of the whole machine."""
    memory_bytes: int
    memory_total_bytes: int
    containers: int
    gpus: tuple[GpuUsage, ...] = ()
    at_unix_s: float


class UsageNow(Message, frozen=True, kw_only=True, tag="usage"):
    containers: tuple[ContainerUsage, ...]
    machines: tuple[MachineUsage, ...]


UsageReply = UsageNow | Refused
