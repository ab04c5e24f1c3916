"""Clusters: several containers that run one input together, each knowing its rank and the others.

The container that takes the input leads. It calls its own function once for each other rank, which a
container of its own takes, since each runs one input at a time; all tell the leader where they are,
learn where the others are, and begin together. The leader's result is the call's.
"""

import asyncio
import functools
import inspect
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar

from squall import _container, _context, _validate
from squall._declaring.methods import CLUSTER
from squall._modal import spellings
from squall._modal.handle import Absent, Handle, Page
from squall.exception import ExecutionError, InvalidError

__all__ = ["Cluster", "ClusterInfo", "clustered"]

F = TypeVar("F", bound=Callable[..., Any])

_ARRIVED: Final = "arrived"


class Seat(NamedTuple):
    """One container of a cluster."""

    container_id: str
    address: str
    """Its IPv4 address among the containers of its machine."""


class _Invitation(NamedTuple):
    """What the leader calls its own function with, in place of the user's arguments."""

    queue: Any
    cluster_id: str
    rank: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class ClusterInfo:
    """The cluster this container is in."""

    rank: int
    cluster_id: str
    container_ips: list[str]
    """By rank."""
    container_ipv4_ips: list[str]


_current: ContextVar["Cluster | None"] = ContextVar("squall_cluster", default=None)


class Cluster(Handle):
    """The containers that run an input together; `Cluster.from_context()` inside one of them."""

    def __init__(self) -> None:
        raise InvalidError("a Cluster comes from Cluster.from_context()")

    _id: str
    _rank: int
    _seats: tuple[Seat, ...]

    @classmethod
    def _new(cls, cluster_id: str, rank: int, seats: tuple[Seat, ...]) -> Self:
        made = cls.__new__(cls)
        made._id, made._rank, made._seats = cluster_id, rank, seats
        return made

    @classmethod
    def from_context(cls) -> "Cluster":
        """The one whose input this code runs. ExecutionError outside of a clustered function."""
        found = _current.get()
        if found is None:
            raise ExecutionError("no cluster runs this code: decorate its function with @clustered")
        return found

    from_id = Absent("a cluster is known to its own containers: use from_context()")
    hydrate = Absent("nothing is looked up: from_context() knows all")

    async def _page(self) -> Page:
        from squall import _container

        here = _container.assignment()
        assert here is not None, "clusters are known to their own containers alone"
        return Page(f"functions/{here.function_id}", here.environment)

    @property
    def object_id(self) -> str:
        return self._id

    @property
    def info(self) -> ClusterInfo:
        """All of it at once."""
        addresses = self.container_ips()
        return ClusterInfo(self._rank, self._id, addresses, addresses)

    def container_rank(self, container_id: str | None = None) -> int:
        """The rank of that container, None: of this one; 0 leads. InvalidError for a stranger."""
        if container_id is None:
            return self._rank
        if container_id not in self.container_ids():
            raise InvalidError(f"container_id: {container_id} is not in this cluster")
        return self.container_ids().index(container_id)

    def container_ips(self, family: Literal["ipv4", "ipv6"] = "ipv4") -> list[str]:
        """Their addresses by rank. InvalidError for IPv6, which containers don't have here."""
        if family != "ipv4":
            raise InvalidError(f"family: containers have IPv4 addresses here, not {family!r}")
        return [seat.address for seat in self._seats]

    def container_ids(self) -> list[str]:
        """By rank."""
        return [seat.container_id for seat in self._seats]


def clustered(*_misused: object, size: int, rdma: bool = False) -> Callable[[F], F]:
    """Run each input in `size` containers at once, which find each other with
    `Cluster.from_context()`. The result is that of rank 0; an exception of any rank fails the call.
    Goes below `@app.function()`. `rdma` has no effect here. InvalidError."""
    if _misused:
        raise InvalidError("write @squall.clustered(size=…) with parentheses")
    size = _validate.whole("size", size, least=1, most=1024)
    spellings.without_effect("rdma", _validate.truth("rdma", rdma))

    def decorate(raw: F, /) -> F:
        if not inspect.isfunction(raw):
            raise InvalidError(
                f"@squall.clustered(…) goes below @app.function(), on a function, not on {raw!r}"
            )
        if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
            raise InvalidError(f"@squall.clustered(…): {raw.__name__} can't be a generator")
        made: Any = _async(raw, size) if inspect.iscoroutinefunction(raw) else _sync(raw, size)
        setattr(made, CLUSTER, size)
        chosen: F = made
        return chosen

    return decorate


def check(
    raw: object,
    max_inputs: int,
    max_containers: int | None,
    *,
    batched: bool,
    blocked: bool,
    snapshot: bool,
) -> None:
    """Whether a clustered function can be what its decorators say. InvalidError."""
    size = getattr(raw, CLUSTER, None)
    if size is None:
        return
    if blocked:
        raise InvalidError("block_network: the containers of a clustered function share a network")
    if snapshot:
        raise InvalidError(
            "enable_memory_snapshot: a clustered function's containers are started for their network"
        )
    if max_inputs > 1 or batched:
        raise InvalidError("a clustered function runs one input at a time in each container")
    if max_containers is not None and (max_containers < size or max_containers % size):
        raise InvalidError(
            f"max_containers ({max_containers}) must be a multiple of the cluster's size ({size})"
        )


# --- in the containers ------------------------------------------------------------------------------


def _sync(raw: Callable[..., Any], size: int) -> Callable[..., Any]:
    @functools.wraps(raw)
    def run(*args: Any, **kwargs: Any) -> Any:
        if _container.assignment() is None:
            return raw(*args, **kwargs)
        gang = _Gang(size, args, kwargs)
        token = _current.set(gang.assemble())
        try:
            result = raw(*gang.args, **gang.kwargs)
        except BaseException:
            gang.abandon()
            raise
        finally:
            _current.reset(token)
        gang.wait()
        return result

    return run


def _async(raw: Callable[..., Any], size: int) -> Callable[..., Any]:
    @functools.wraps(raw)
    async def run(*args: Any, **kwargs: Any) -> Any:
        if _container.assignment() is None:
            return await raw(*args, **kwargs)
        gang = _Gang(size, args, kwargs)
        token = _current.set(await asyncio.to_thread(gang.assemble))
        try:
            result = await raw(*gang.args, **gang.kwargs)
        except BaseException:
            await asyncio.to_thread(gang.abandon)
            raise
        finally:
            _current.reset(token)
        await asyncio.to_thread(gang.wait)
        return result

    return run


class _Gang:
    """One container's part in one input of a cluster. Its methods block."""

    def __init__(self, size: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The user's arguments, or the invitation of a leader."""
        self._size = size
        self._invited: _Invitation | None = None
        if args and isinstance(args[0], _Invitation):
            self._invited = args[0]
            args, kwargs = args[0].args, args[0].kwargs
        self.args = args
        self.kwargs = kwargs
        self._others: list[Any] = []
        """Of a leader: the calls of the other ranks."""

    def assemble(self) -> Cluster:
        """The cluster, once all its containers are there."""
        here = Seat(_container.inside("@clustered").container_id, _address())
        if self._invited is not None:
            invited = self._invited
            invited.queue.put((invited.rank, here), partition=_ARRIVED)
            seats = invited.queue.get(partition=f"seats-{invited.rank}")
            invited.queue.put(True, partition=f"seated-{invited.rank}")  # it goes when all have it
            return Cluster._new(invited.cluster_id, invited.rank, seats)
        return self._led(here)

    def _led(self, here: Seat) -> Cluster:
        from squall.queue import Queue

        cluster_id = f"cl-{_context.current_input_id()}"
        own = _own()
        with Queue.ephemeral() as queue:
            try:
                for rank in range(1, self._size):
                    given = _Invitation(queue, cluster_id, rank, self.args, self.kwargs)
                    self._others.append(own.spawn(given))
                found = {0: here}
                while len(found) < self._size:
                    rank, seat = queue.get(partition=_ARRIVED)
                    found[rank] = seat
                seats = tuple(found[rank] for rank in range(self._size))
                for rank in range(1, self._size):
                    queue.put(seats, partition=f"seats-{rank}")
                for rank in range(1, self._size):
                    queue.get(partition=f"seated-{rank}")
            except BaseException:
                self.abandon()
                raise
        return Cluster._new(cluster_id, 0, seats)

    def wait(self) -> None:
        """Until the other ranks are done, if this one leads; raises what they raised."""
        for call in self._others:
            call.get()

    def abandon(self) -> None:
        """Interrupt the other ranks, if this one leads."""
        for call in self._others:
            call.cancel()


def _own() -> Any:
    """The function this container runs."""
    from squall._calling.unary import Target
    from squall.function import Function

    here = _container.inside("@clustered")
    made = Function._new(here.spec.name)
    made._target = Target(here.function_id, here.environment, here.spec.name, False, True)
    return made


def _address() -> str:
    """This container's address, as its machine's other containers reach it."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:  # a host name that resolves to nothing: a process on a bare machine
        return "127.0.0.1"
