"""A function with options of its own."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from squall_contracts.functions import Variant

from squall._calling.pools import Binding
from squall._calling.unary import Target
from squall._declaring.variants import check, merged
from squall.exception import ExecutionError
from squall.function import Function

if TYPE_CHECKING:
    from squall._client import Client

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - as in squall.function


class VariedFunction(Function[P, R, O]):
    """A function with options of its own: its inputs go to the pool that has them."""

    _base: Function[Any, Any, Any]
    _variant: Variant
    _binding: Binding

    @classmethod
    def _of(
        cls, base: Function[Any, Any, Any], variant: Variant
    ) -> "VariedFunction[Any, Any, Any]":
        if base._options is not None:
            check(base._options, variant)
        made = cast(
            "VariedFunction[Any, Any, Any]",
            cls._new(base.name, app=base.app, raw=base._raw, options=base._options),
        )
        made._base, made._variant, made._binding = base, variant, Binding()
        return made

    def _varied(self, more: Variant) -> "Function[P, R, O]":
        return VariedFunction._of(self._base, merged(self._variant, more))

    def _in_container(self) -> Target | None:
        return None

    def _can_resolve(self) -> bool:
        return self._base._can_resolve()

    def _unhydrated(self) -> ExecutionError:
        return self._base._unhydrated()

    async def _resolve(self, client: "Client") -> Target:
        base = await self._base._resolve(client)
        self._target = await self._binding.target(client, base, {}, self._variant)
        return self._target

    def _prepared(self) -> "tuple[Client, Target] | None":
        base = self._base._target or self._base._in_container()
        current = base is not None and self._binding.is_good(base.function_id)
        return super()._prepared() if current else None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return VariedFunction._of, (self._base, self._variant)
