"""When a sandbox is over. Pure."""

from squall_contracts.placement import Ending


def over(
    now_s: float, *, ends_s: float, idle_s: float | None, used_s: float, users: int
) -> Ending | None:
    """Why it must end now; None: it lives on. All in seconds of one clock.

    `ends_s`: when its lifetime is over. `idle_s`: how long nobody may have used it; None: for ever.
    `used_s`: when somebody last did. `users`: how many do now. A lifetime that is over counts first.
    """
    if now_s >= ends_s:
        return "timeout"
    if idle_s is not None and not users and now_s >= used_s + idle_s:
        return "idle"
    return None


def look_again_s(*, ends_s: float, idle_s: float | None, used_s: float, users: int) -> float:
    """The earliest time at which it may be over, unless it is used meanwhile or somebody leaves it."""
    return ends_s if idle_s is None or users else min(ends_s, used_s + idle_s)
