"""When and how often a failed input is run again."""

from dataclasses import dataclass

from squall_contracts.functions import RetryPolicy

from squall import _validate
from squall.exception import InvalidError


@dataclass(frozen=True, kw_only=True)
class Retries:
    """Rerun an input whose function raised or timed out.

    Retry k waits `initial_delay * backoff_coefficient ** (k - 1)` seconds, at least 1 and at most
    `max_delay`. Bounds: max_retries >= 0, backoff_coefficient 1 to 10, initial_delay 0 to 60 s,
    max_delay 1 to 60 s; InvalidError names the one out of bounds.
    """

    max_retries: int
    backoff_coefficient: float = 2.0
    initial_delay: float = 1.0
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        _validate.whole("max_retries", self.max_retries, least=0)
        _validate.number("backoff_coefficient", self.backoff_coefficient, least=1, most=10)
        _validate.number("initial_delay", self.initial_delay, least=0, most=60)
        _validate.number("max_delay", self.max_delay, least=1, most=60)


def policy(retries: object) -> RetryPolicy | None:
    """The wire form of None, an int (retries a second apart) or Retries; None: no retries."""
    if retries is None:
        return None
    if isinstance(retries, Retries):
        if retries.max_retries == 0:
            return None
        return RetryPolicy(
            max_retries=retries.max_retries,
            backoff_coefficient=float(retries.backoff_coefficient),
            initial_delay_s=float(retries.initial_delay),
            max_delay_s=float(retries.max_delay),
        )
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise InvalidError(
            f"retries must be an int or squall.Retries, not {type(retries).__name__}"
        )
    _validate.whole("retries", retries, least=0)
    return RetryPolicy(max_retries=retries) if retries else None
