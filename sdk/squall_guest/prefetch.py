"""How many deliveries to hold: enough to hide the way to the server, no more."""

from msgspec import Struct

AHEAD_S = 0.020
"""Seconds of work held beyond what runs."""
MOST_HELD = 512
MOST_HELD_BYTES = 64 * 1024 * 1024
BESIDE_OTHERS = 3
"""Deliveries of the bulk lane held beyond the slots while somebody waits for single inputs: each
is read, answered and acked by the one thread that also carries those."""
OTHERS_FOR_S = 1.0
"""Somebody who sent a single input is expected to send more for so long."""
_WEIGHT = 0.2
"""Of the newest observation in the moving averages."""


class Pace(Struct, frozen=True):
    """What has been observed of this function's deliveries."""

    run_s: float | None = None
    """Moving average of one delivery's time on its slot; None before the first has finished."""
    size_bytes: float = 0.0
    """Moving average of one delivery's payload."""


def observe(pace: Pace, run_s: float, size_bytes: int) -> Pace:
    """`pace` after one more delivery."""
    if pace.run_s is None:
        return Pace(run_s, float(size_bytes))
    return Pace(
        pace.run_s + _WEIGHT * (run_s - pace.run_s),
        pace.size_bytes + _WEIGHT * (size_bytes - pace.size_bytes),
    )


def most_held(pace: Pace, slots: int) -> int:
    """Deliveries to hold at most, running ones included; never fewer than `slots`."""
    if pace.run_s is None:
        return slots
    ahead = MOST_HELD if pace.run_s <= 0 else min(MOST_HELD, slots * AHEAD_S / pace.run_s)
    if pace.size_bytes > 0:
        ahead = min(ahead, MOST_HELD_BYTES / pace.size_bytes)
    return max(slots, min(MOST_HELD, slots + int(ahead)))


def most_bulk(pace: Pace, slots: int, since_single_s: float) -> int:
    """The same for the bulk lane, `since_single_s` after an input of the other lane came."""
    most = most_held(pace, slots)
    return min(most, slots + BESIDE_OTHERS) if since_single_s < OTHERS_FOR_S else most
