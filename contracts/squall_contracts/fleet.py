"""Operators <-> gateway: the machines there are, and which of them are to have no work."""

from typing import Annotated, Literal

from msgspec import Meta

from squall_contracts.failures import Refused
from squall_contracts.message import Message
from squall_contracts.placement import RunnerRecord

RunnerOrder = Literal["work", "cordon", "drain"]
"""`work`: it gets containers. `cordon`: it gets no more, those it has stay. `drain`: those it has
finish what they run and start anew elsewhere, too."""


class ListRunners(Message, frozen=True, kw_only=True):
    """Reply: RunnerList."""


class OrderRunner(Message, frozen=True, kw_only=True):
    """Say what becomes of a runner's work, until something else is said. Reply: RunnerEntry."""

    runner_id: Annotated[str, Meta(max_length=128)]
    """Its id, the unique beginning of one, or its machine's name."""
    order: RunnerOrder


class RunnerEntry(Message, frozen=True, kw_only=True, tag="runner"):
    record: RunnerRecord
    order: RunnerOrder = "work"
    containers: int = 0
    """That have not ended, of all workspaces."""


class RunnerList(Message, frozen=True, kw_only=True, tag="runner_list"):
    runners: tuple[RunnerEntry, ...]


class OrderRecord(Message, frozen=True, kw_only=True):
    """Registry entry of a runner that is not simply to work. Key: its id."""

    order: RunnerOrder
    since_unix_s: float


RunnerListReply = RunnerList | Refused
RunnerReply = RunnerEntry | Refused
