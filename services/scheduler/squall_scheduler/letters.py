"""Dead letters the scheduler writes: for inputs whose containers died or never came up."""

import time
from typing import Final

import structlog
from squall_bus.bus import Bus
from squall_bus.errors import Undecodable
from squall_bus.streams.burial import bury
from squall_bus.subscriptions import decode_as
from squall_contracts import dead, subjects
from squall_contracts.calls import Inputs
from squall_contracts.failures import Failure
from squall_contracts.functions import FunctionRecord
from squall_contracts.placement import HeldInput

log = structlog.get_logger()

_STREAM_SEQ: Final = 5
"""Where an ack subject, `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>...`, has the message."""


def mourned(function: FunctionRecord) -> dead.Mourned:
    return dead.Mourned(
        function.function_id,
        function.spec.name,
        function.app_id,
        function.app_name,
        function.environment,
        function.spec.is_generator,
        function.spec.methods,
        function.spec.arguments,
        function.spec.variant,
        function.bound_to,
    )


async def bury_inputs(
    workspace: Bus, function: FunctionRecord, subject: str, inputs: Inputs, failure: Failure
) -> None:
    """Letters for the inputs of one waiting message, where its failure leaves any. BusError.

    A run whose containers don't start leaves none: whoever started it sees the reason, and its
    function is gone before anybody could run the input again.
    """
    if function.ephemeral and failure.kind == "startup":
        return
    lane = subjects.call_parts(subject)[2]
    if dead.is_kept(failure, function.spec.retry, lane, inputs.reply_to):
        await _bury_all(workspace, function, inputs, failure, deaths=0)


async def bury_held(
    workspace: Bus, function: FunctionRecord, held: HeldInput, failure: Failure, deaths: int
) -> None:
    """Letters for what a container held when it died; the payload is still in CALLS. BusError.

    The flight record may lie: only a message of this function and call is taken for it.
    """
    words = held.ack_subject.split(".")
    if len(words) <= _STREAM_SEQ or not words[_STREAM_SEQ].isdigit():
        return
    seq = int(words[_STREAM_SEQ])
    own = subjects.call_function(function.environment, function.function_id)
    message = await workspace.admin.next_message(subjects.CALLS, own, from_seq=seq)
    if message is None or message.seq != seq:
        return
    try:
        inputs = decode_as(Inputs, message.data, message.subject)
    except Undecodable as error:
        log.error("input.undecodable", subject=message.subject, error=str(error))
        return
    if inputs.call_id == held.call_id:
        await _bury_all(workspace, function, inputs, failure, deaths=deaths)


async def _bury_all(
    workspace: Bus, function: FunctionRecord, inputs: Inputs, failure: Failure, *, deaths: int
) -> None:
    for position in range(len(inputs.items)):
        letter = dead.letter(
            inputs, position, mourned(function), failure, time.time(), deaths=deaths
        )
        await bury(workspace, letter)
