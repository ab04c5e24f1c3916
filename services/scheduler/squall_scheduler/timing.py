"""When to look again although nothing was heard. Pure."""

from squall_contracts.placement import ENDED

from squall_scheduler.core import Cluster, Limits, end_due, refusable_at
from squall_scheduler.states import BOOTING
from squall_scheduler.stock import Stock


def look_again(cluster: Cluster, now_s: float, limits: Limits) -> float | None:
    """When the passing of time alone may change a decision, in unix seconds; None: never."""
    moments = [function.held_until_unix_s for function in cluster.functions if not function.gone]
    moments += [machine.rests_until_unix_s for machine in cluster.machines]
    since = {gone.runner_id: gone.since_unix_s for gone in cluster.gone}
    within = {function.function_id: function.start_within_s for function in cluster.functions}
    whole: Stock | None = None
    for held in cluster.containers:
        if held.state in ENDED:
            continue
        if held.runner_id in since:
            moments.append(max(since[held.runner_id], held.heard_unix_s) + limits.lost_after_s)
        elif (ended_at := end_due(held, limits)) is not None:
            moments.append(ended_at)
        if held.state == "requested" and (at := refusable_at(held, cluster, limits)) > now_s:
            whole = whole or Stock(cluster.machines, draining=True)
            if whole.find(held.demand) is None:
                moments.append(at)
        if held.state in BOOTING and held.starting_unix_s is not None:
            boot_s = within.get(held.function_id, 0.0) + limits.boot_slack_s
            moments.append(held.starting_unix_s + boot_s)
    return min((moment for moment in moments if moment > now_s), default=None)
