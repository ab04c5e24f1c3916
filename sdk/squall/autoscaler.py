"""A live function's containers: its bounds for the autoscaler, and how it fares."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from squall_contracts import autoscaling
from squall_contracts.functions import Scaling

from squall import _client, _sync, _validate

if TYPE_CHECKING:
    from squall._calling.unary import Target
    from squall._client import Client

_KEEP: Final[Any] = object()
_BOUNDS: Final[dict[str, autoscaling.Bound]] = {
    "min_containers": "min_containers",
    "max_containers": "max_containers",
    "buffer_containers": "buffer_containers",
    "scaledown_window": "scaledown_window_s",
}


@dataclass(frozen=True)
class AutoscalerSettings:
    """The bounds the autoscaler keeps."""

    min_containers: int
    max_containers: int | None
    """None: bounded by the server's own cap, the quota and the machines."""
    buffer_containers: int
    scaledown_window: float
    """Seconds without work before containers beyond the minimum go."""


@dataclass(frozen=True)
class FunctionStats:
    """How a function fares at this moment."""

    backlog: int
    """Inputs that wait for a container."""
    num_total_runners: int
    """Its containers, booting ones included."""
    num_running_inputs: int
    input_headroom: int
    """How many more inputs its ready containers could run at once."""


class Scalable(Protocol):
    """Something that has containers: a function, or a pool of a class's."""

    async def _resolve(self, client: "Client") -> "Target": ...


class Autoscaler:
    """What `Function.autoscaler` is: `settings()` and `update(…)`, each with `.aio`."""

    def __init__(self, function: Scalable) -> None:
        self._function = function

    @_sync.synced
    async def settings(self) -> AutoscalerSettings:
        """The bounds in force."""
        client = await _client.connected()
        target = await self._function._resolve(client)
        reply = await client.control(autoscaling.GetScaling(function_id=target.function_id))
        return _settings(reply.scaling)

    @_sync.synced
    async def update(
        self,
        *,
        min_containers: int | None = _KEEP,
        max_containers: int | None = _KEEP,
        buffer_containers: int | None = _KEEP,
        scaledown_window: float | None = _KEEP,
    ) -> AutoscalerSettings:
        """Change what is given, until the next deploy; None takes the default again. InvalidError."""
        given = {
            "min_containers": min_containers,
            "max_containers": max_containers,
            "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window,
        }
        reset = tuple(_BOUNDS[name] for name, value in given.items() if value is None)
        return await change(
            self._function,
            min_containers=None if min_containers is _KEEP else min_containers,
            max_containers=None if max_containers is _KEEP else max_containers,
            buffer_containers=None if buffer_containers is _KEEP else buffer_containers,
            scaledown_window=None if scaledown_window is _KEEP else scaledown_window,
            reset=reset,
        )


async def change(
    function: Scalable,
    *,
    min_containers: int | None = None,
    max_containers: int | None = None,
    buffer_containers: int | None = None,
    scaledown_window: float | None = None,
    reset: tuple[autoscaling.Bound, ...] = (),
) -> AutoscalerSettings:
    """Change the bounds given; what is None stays, unless `reset` names it."""
    _validate.scaling(min_containers, max_containers, buffer_containers, scaledown_window)
    client = await _client.connected()
    target = await function._resolve(client)
    reply = await client.control(
        autoscaling.UpdateScaling(
            function_id=target.function_id,
            min_containers=min_containers,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window_s=scaledown_window,
            reset=reset,
        )
    )
    return _settings(reply.scaling)


async def stats(function: Scalable) -> FunctionStats:
    """How it fares right now, as far as the server can tell."""
    client = await _client.connected()
    target = await function._resolve(client)
    now = await client.control(autoscaling.GetFunctionStats(function_id=target.function_id))
    return FunctionStats(now.backlog, now.containers, now.running, now.headroom)


def _settings(scaling: Scaling) -> AutoscalerSettings:
    return AutoscalerSettings(
        min_containers=scaling.min_containers,
        max_containers=scaling.max_containers,
        buffer_containers=scaling.buffer_containers,
        scaledown_window=scaling.scaledown_window_s,
    )
