"""How far the inputs of a spawned call are, from its stored results."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from squall_contracts import subjects
from squall_contracts.calls import Results, Yielded
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.message import decode, input_id

from squall._client import translated
from squall.types import InputInfo, InputStatus

if TYPE_CHECKING:
    from squall._client import Client

_STATUS: Final[dict[FailureKind, InputStatus]] = {
    "cancelled": InputStatus.TERMINATED,
    "container_lost": InputStatus.TERMINATED,
    "timeout": InputStatus.TIMEOUT,
    "startup": InputStatus.INIT_FAILURE,
}
"""Of failures; all others are FAILURE."""


async def roots(
    client: "Client", environment: str, call_id: str, count: int, name: str
) -> list[InputInfo]:
    """One InputInfo for each of a call's `count` inputs, PENDING without a stored result. On the SDK
    loop. `name`: the function's; empty: not known here."""
    from squall_bus.reading import read

    found: dict[int, tuple[InputStatus, str]] = {}
    subject = subjects.result_of_call(environment, call_id)
    async with translated(), aclosing(read(client.bus, subjects.RESULTS, subject)) as messages:
        async for message in messages:
            results = decode(message.data, Results)
            for item in results.items:
                if isinstance(item, Yielded):
                    continue
                failure: Failure | None = getattr(item, "failure", None)
                known = status(failure)
                for index in [item.index] if item.index >= 0 else range(count):
                    found.setdefault(index, (known, results.container_id))
    return [
        InputInfo(
            input_id=input_id(call_id, index),
            function_call_id=call_id,
            task_id=found.get(index, (None, ""))[1],
            status=found[index][0] if index in found else InputStatus.PENDING,
            function_name=name,
            module_name="",
        )
        for index in range(count)
    ]


def status(failure: Failure | None) -> InputStatus:
    """What became of an input; None: it returned."""
    if failure is None:
        return InputStatus.SUCCESS
    return _STATUS.get(failure.kind, InputStatus.FAILURE)
