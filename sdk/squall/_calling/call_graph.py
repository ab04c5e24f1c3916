"""How far the inputs of a spawned call are, from its stored results; and the calls they made."""

from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from squall_contracts import subjects
from squall_contracts.calls import Results, Yielded
from squall_contracts.failures import Failure, FailureKind
from squall_contracts.graphs import GetCallGraph
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
    from squall_bus.streams.reading import read

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


async def grow(client: "Client", environment: str, call_id: str, infos: list[InputInfo]) -> None:
    """Hang the calls their inputs made under `infos`, and so on. On the SDK loop."""
    known = {info.input_id: info for info in infos}
    wanted = GetCallGraph(environment=environment, call_id=call_id)
    for made in (await client.control(wanted)).inputs:
        if made.failed_with is not None:
            state = _STATUS.get(made.failed_with, InputStatus.FAILURE)
        else:
            state = InputStatus.SUCCESS if made.is_over else InputStatus.PENDING
        info = InputInfo(
            input_id=input_id(made.call_id, made.index),
            function_call_id=made.call_id,
            task_id=made.container_id,
            status=state,
            function_name=made.function_name,
            module_name="",
        )
        known[info.input_id] = info
        if made.maker in known:
            known[made.maker].children.append(info)


def status(failure: Failure | None) -> InputStatus:
    """What became of an input; None: it returned."""
    if failure is None:
        return InputStatus.SUCCESS
    return _STATUS.get(failure.kind, InputStatus.FAILURE)
