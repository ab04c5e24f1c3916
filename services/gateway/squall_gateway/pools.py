"""Pools of classes: each set of parameters has containers of its own, under an id of its own."""

from collections.abc import Iterable
from typing import Final

from squall_bus.errors import SquallRefusal
from squall_contracts import apps
from squall_contracts.functions import FunctionRecord

from squall_gateway import core
from squall_gateway.registry import Registry
from squall_gateway.validation import InvalidFieldError, check_arguments

ATTEMPTS: Final = 5


class Pools:
    """Pools are written after their class was read, and it is read again: whoever changes or stops
    a class writes it first and then looks for pools, so that one of the two sees the other."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def bind(self, account: str, request: apps.BindClass) -> apps.BoundClass:
        """The pool of a class with these parameters, made if there is none."""
        for _ in range(ATTEMPTS):
            entry = await self._class(account, request.function_id)
            try:
                arguments = check_arguments(entry.spec, request.arguments)
            except InvalidFieldError as error:
                raise SquallRefusal("invalid", str(error)) from error
            if core.are_defaults(entry.spec, arguments):
                return apps.BoundClass(function_id=entry.function_id)
            pool = core.pool(entry, arguments)
            known = await self._registry.functions.get(pool.function_id)
            if known is None or known.value != pool:
                await self._registry.functions.put(pool.function_id, pool)
            after = await self._registry.functions.get(request.function_id)
            if after is None:
                await self._registry.forget((pool,))
            elif after.value == entry:
                return apps.BoundClass(function_id=pool.function_id)
        raise SquallRefusal("exhausted", "the class is being deployed by others: try again")

    async def renew(
        self, before: Iterable[FunctionRecord], now: Iterable[FunctionRecord]
    ) -> list[FunctionRecord]:
        """An app had the functions `before` and has those `now`: give pools the new version of their
        class. Those whose parameters it no longer takes are removed, and returned."""
        declared = {record.function_id: record for record in now}
        gone: list[FunctionRecord] = []
        for pool in await self.of((*before, *declared.values())):
            renewed = self._renewed(pool, declared.get(pool.bound_to))
            if renewed is None:
                gone.append(pool)
            else:
                await self._registry.functions.put(pool.function_id, renewed)
        await self._registry.forget(gone)
        return gone

    def _renewed(self, pool: FunctionRecord, owner: FunctionRecord | None) -> FunctionRecord | None:
        """None: its callers must bind anew, to another pool or to none."""
        if owner is None or not owner.spec.methods:
            return None
        try:
            arguments = check_arguments(owner.spec, pool.spec.arguments)
        except InvalidFieldError:
            return None
        renewed = core.pool(owner, arguments)
        return renewed if renewed.function_id == pool.function_id else None

    async def of(self, functions: Iterable[FunctionRecord]) -> list[FunctionRecord]:
        """The pools of those functions that are classes with parameters."""
        owners = {f.function_id for f in functions if f.spec.parameters and not f.bound_to}
        if not owners:
            return []
        known = (await self._registry.functions.items()).values()
        return [record for record in known if record.bound_to in owners]

    async def _class(self, account: str, function_id: str) -> FunctionRecord:
        try:
            entry = await self._registry.functions.get(function_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"function_id: {error}") from error
        if entry is None or entry.value.workspace != account:
            raise SquallRefusal("not_found", f"there is no function {function_id}: is it stopped?")
        if not entry.value.spec.methods or entry.value.bound_to:
            raise SquallRefusal("invalid", f"{entry.value.spec.name!r} is not a class")
        return entry.value
