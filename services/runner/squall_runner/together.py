"""Several things at once, with one plain error."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import anyio

from squall_runner.runtime import StartRefused


async def together(*parts: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run all at once; what one raises ends the others and is raised as it is, not in a group."""
    try:
        async with anyio.create_task_group() as group:
            for part in parts:
                group.start_soon(part)
    except BaseExceptionGroup as failed:
        raise _telling(_leaves(failed)) from failed


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [error]


def _telling(errors: Sequence[BaseException]) -> BaseException:
    """What won't get better by trying again says most."""
    return next((error for error in errors if isinstance(error, StartRefused)), errors[0])
