"""`SchedulerPlacement`: where Modal's cloud would put containers, which has no effect here."""

from dataclasses import dataclass

from squall._modal import spellings

__all__ = ["SchedulerPlacement"]


@dataclass(frozen=True)
class SchedulerPlacement:
    """Accepted, with a notice: containers run on your own machines."""

    region: str | list[str] | None = None
    zone: str | None = None
    spot: bool | None = None
    instance_type: str | list[str] | None = None

    def __post_init__(self) -> None:
        spellings.without_effect("region", self)
