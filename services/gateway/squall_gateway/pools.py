"""Pools: each set of parameters of a class, and each set of options of a function or class, has
containers of its own, under an id of its own."""

import asyncio
from collections.abc import Iterable
from typing import Final

from squall_bus.errors import KeyExists, RevisionMismatch, SquallRefusal
from squall_contracts import apps
from squall_contracts.functions import FunctionRecord, PoolLease, goes_alone

from squall_gateway import variants
from squall_gateway.registry import Registry
from squall_gateway.validation import InvalidFieldError, check_arguments, check_bounds

ATTEMPTS: Final = 30
PAUSE_S: Final = 0.25
"""Between attempts, for another gateway to be done with the pool."""


class Pools:
    """Pools are written after what they are of was read, and it is read again: whoever changes or
    stops a function writes it first and then looks for pools, so that one of the two sees the other.

    Whoever binds a pool renews its lease first; the collector (collector.py) removes pools whose
    lease has expired, and takes the lease itself before it does.
    """

    def __init__(self, registry: Registry, idle_s: float) -> None:
        """`idle_s`: how long a pool stays that nobody binds."""
        self._registry = registry
        self._idle_s = idle_s

    async def bind(self, account: str, request: apps.BindPool) -> apps.BoundPool:
        """The pool with these parameters and options, made if there is none."""
        for _ in range(ATTEMPTS):
            entry = await self._owner(account, request.function_id)
            found = _described(entry, request)
            if found is None:
                return apps.BoundPool(
                    function_id=entry.function_id, retryable=goes_alone(entry.spec)
                )
            if not await self._renew_lease(found.function_id):
                await asyncio.sleep(PAUSE_S)
                continue
            known = await self._registry.functions.get(found.function_id)
            # One that is of this version may have bounds that were changed at run time.
            if known is None or known.value.version != found.version:
                await self._registry.functions.put(found.function_id, found)
            after = await self._registry.functions.get(request.function_id)
            if after is None:
                await self._registry.forget((found,))
            elif after.value == entry:
                return apps.BoundPool(
                    function_id=found.function_id,
                    good_for_s=self._idle_s / 2,
                    retryable=goes_alone(found.spec),
                )
        raise SquallRefusal("exhausted", "the app is being deployed by others: try again")

    async def renew(
        self, changed: Iterable[FunctionRecord], gone: Iterable[FunctionRecord]
    ) -> tuple[list[FunctionRecord], list[FunctionRecord]]:
        """Functions were written and others removed: give the pools of the first their new version.
        Those whose parameters or options they can't have any more are removed with those of the
        others. Returns the pools that were written, and those removed."""
        declared = {record.function_id: record for record in changed}
        written: list[FunctionRecord] = []
        removed: list[FunctionRecord] = []
        for pool in await self.of((*declared.values(), *gone)):
            renewed = _renewed(pool, declared.get(pool.bound_to))
            if renewed is None:
                removed.append(pool)
            else:
                await self._registry.functions.put(pool.function_id, renewed)
                written.append(renewed)
        await self._registry.forget(removed)
        return written, removed

    async def of(self, functions: Iterable[FunctionRecord]) -> list[FunctionRecord]:
        """The pools of those functions."""
        owners = {f.function_id for f in functions if not f.bound_to}
        if not owners:
            return []
        known = (await self._registry.functions.items()).values()
        return [record for record in known if record.bound_to in owners]

    async def _renew_lease(self, function_id: str) -> bool:
        """False if another gateway had it first."""
        leases = self._registry.leases
        known = await leases.get(function_id)
        try:
            if known is None:
                await leases.create(function_id, PoolLease(), ttl_s=self._idle_s)
            elif known.value.collecting:
                return False
            else:
                await leases.update(function_id, PoolLease(), known.revision, ttl_s=self._idle_s)
        except (KeyExists, RevisionMismatch):
            return False
        return True

    async def _owner(self, account: str, function_id: str) -> FunctionRecord:
        try:
            entry = await self._registry.functions.get(function_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"function_id: {error}") from error
        if entry is None or entry.value.workspace != account:
            raise SquallRefusal("not_found", f"there is no function {function_id}: is it stopped?")
        if entry.value.bound_to:
            raise SquallRefusal(
                "invalid", f"{function_id} is a pool of {entry.value.spec.name!r} already"
            )
        return entry.value


def _described(owner: FunctionRecord, request: apps.BindPool) -> FunctionRecord | None:
    """The pool asked for; None if it is the function or class itself."""
    try:
        if request.arguments and not owner.spec.methods:
            raise InvalidFieldError(f"{owner.spec.name!r} is not a class")
        arguments = check_arguments(owner.spec, request.arguments)
        if variants.is_declared(owner.spec, arguments, request.variant):
            return None
        pool = variants.pool(owner, arguments, request.variant)
        check_bounds(pool.spec)
    except ValueError as error:
        raise SquallRefusal("invalid", str(error)) from error
    return pool


def _renewed(pool: FunctionRecord, owner: FunctionRecord | None) -> FunctionRecord | None:
    """None: its callers must bind anew, to another pool or to none."""
    if owner is None or bool(owner.spec.methods) != bool(pool.spec.methods):
        return None
    try:
        arguments = check_arguments(owner.spec, pool.spec.arguments)
        renewed = variants.pool(owner, arguments, pool.spec.variant)
        check_bounds(renewed.spec)
    except ValueError:
        return None
    return renewed if renewed.function_id == pool.function_id else None
