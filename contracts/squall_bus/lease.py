"""Leader election: of several replicas of a service, one works at a time."""

import time
from collections.abc import Awaitable, Callable

import anyio
import msgspec
import structlog
from squall_contracts import subjects

from squall_bus.bus import Bus
from squall_bus.errors import BusError, KeyExists, RevisionMismatch
from squall_bus.stores.kv import KeyValue

log = structlog.get_logger()


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Entry in the leases bucket: who leads; it expires unless renewed."""

    holder: str


class Term:
    """Whether a lease is surely still ours, also to a process that was stopped for a while: what
    must not be done by two at once asks before each step."""

    def __init__(self) -> None:
        self._until_s = float("inf")
        self._renewed = anyio.Event()

    def lasts(self, until_s: float) -> None:
        """Until this moment of `now_s` nobody else can hold it."""
        self._until_s = until_s
        self._renewed.set()
        self._renewed = anyio.Event()

    @property
    def holds(self) -> bool:
        return now_s() < self._until_s

    async def held(self) -> None:
        """Return while it is ours, at once or when it is renewed after all. Whoever works on a lease
        that is lost is cancelled meanwhile."""
        while not self.holds:
            await self._renewed.wait()


def now_s() -> float:
    """Seconds that pass also while the machine sleeps, where the system counts them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def lead(
    bus: Bus,
    name: str,
    holder: str,
    work: Callable[[], Awaitable[None]],
    *,
    stopping: anyio.Event,
    ttl_s: float = 10.0,
    term: Term | None = None,
) -> None:
    """Run `work` whenever this process holds the lease `name`, until `stopping`.

    `work` is cancelled when the lease is lost (not renewed within `ttl_s`, or taken), and started
    anew once it is won again. It watches `stopping` itself; when it has returned the lease is
    given back, so that another replica takes over at once. `term` tells `work` whether it is held.
    """
    leases = bus.kv(subjects.LEASES_BUCKET, Lease)
    term = term or Term()
    while not stopping.is_set():
        tenure = await _win(leases, name, Lease(holder=holder), stopping, term, ttl_s=ttl_s)
        if tenure is None:
            return
        log.info("lease.won", lease=name, holder=holder)
        if await tenure.run(work):
            return
        log.warning("lease.lost", lease=name, holder=holder)


async def _win(
    leases: KeyValue[Lease],
    name: str,
    lease: Lease,
    stopping: anyio.Event,
    term: Term,
    *,
    ttl_s: float,
) -> "_Tenure | None":
    """The tenure once the lease is ours; None when stopped first."""
    while not stopping.is_set():
        began_s = now_s()
        try:
            revision = await leases.create(name, lease, ttl_s=ttl_s)
        except KeyExists:
            await _until_free(leases, name, stopping, ttl_s)
        else:
            term.lasts(began_s + ttl_s)
            return _Tenure(leases, name, lease, revision, term, ttl_s=ttl_s)
    return None


async def _until_free(
    leases: KeyValue[Lease], name: str, stopping: anyio.Event, ttl_s: float
) -> None:
    """Wait until the lease is given back or expires, at most `ttl_s`: a lease renewed until just
    now can't be won, and one whose end was not told to us is tried again."""
    async with anyio.create_task_group() as either:
        either.cancel_scope.deadline = anyio.current_time() + ttl_s

        async def stopped() -> None:
            await stopping.wait()
            either.cancel_scope.cancel()

        either.start_soon(stopped)
        async with leases.watch(name) as changes:
            if name in await changes.initial():
                async for change in changes:
                    if change.key == name and change.value is None:
                        break
        either.cancel_scope.cancel()


class _Tenure:
    """One term of leadership: the work beside the renewals."""

    def __init__(
        self,
        leases: KeyValue[Lease],
        name: str,
        lease: Lease,
        revision: int,
        term: Term,
        *,
        ttl_s: float,
    ) -> None:
        self._leases = leases
        self._name = name
        self._lease = lease
        self._revision = revision
        self._term = term
        self._ttl_s = ttl_s
        self._finished = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether `work` returned by itself; False when the lease was lost under it."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._renew, group.cancel_scope)
                await work()
                self._finished = True
                group.cancel_scope.cancel()
        finally:
            with anyio.move_on_after(self._ttl_s / 2, shield=True):
                await self._give_back()
        return self._finished

    async def _renew(self, scope: anyio.CancelScope) -> None:
        """Renew at a third of the time; step down while the lease is still surely ours."""
        while True:
            await anyio.sleep(self._ttl_s / 3)
            with anyio.move_on_after(self._ttl_s / 2) as patience:
                if not await self._renew_once():
                    break
            if patience.cancelled_caught:
                break
        scope.cancel()

    async def _renew_once(self) -> bool:
        while True:
            began_s = now_s()
            try:
                self._revision = await self._leases.update(
                    self._name, self._lease, self._revision, ttl_s=self._ttl_s
                )
            except RevisionMismatch:
                return False
            except BusError as error:
                log.warning("lease.renewal_failed", lease=self._name, error=str(error))
                await anyio.sleep(self._ttl_s / 20)
            else:
                self._term.lasts(began_s + self._ttl_s)
                return True

    async def _give_back(self) -> None:
        try:
            await self._leases.delete(self._name, revision=self._revision)
        except (RevisionMismatch, BusError) as error:
            log.info("lease.not_given_back", lease=self._name, error=str(error))
