"""Which lane the inputs of a map go in: one that holds nobody else's, if there is one.

Containers take turns among the lanes of a function, so a map that came first, however long it is
and however many inputs its caller keeps under way, delays another only by its turns.
"""

import logging
from typing import TYPE_CHECKING

from squall_contracts import subjects
from squall_contracts.calls import Lane
from squall_contracts.lanes import OpenLane

from squall import _client
from squall._calling.unary import Target
from squall.exception import ServiceError

if TYPE_CHECKING:
    from squall._client import Client

_log = logging.getLogger("squall")


async def lane_for(client: "Client", target: Target) -> Lane:
    """The lane for a call that begins now; on the SDK loop. It is asked for only where the common
    one is in use; where no service answers that could give another, it is the common one."""
    common: Lane = "bulk"
    filtered = subjects.call_lane(target.environment, target.function_id, common)
    async with _client.translated():
        held = await client.bus.admin.backlog(subjects.CALLS, filtered)
    if all(subjects.call_parts(subject)[3] in client.over for subject in held):
        return common
    try:
        return (await client.control(OpenLane(function_id=target.function_id))).lane
    except ServiceError as error:
        _log.warning("%s.map goes in line behind other maps: %s", target.name, error)
        return common
