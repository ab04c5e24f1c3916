"""`with_options`, `with_concurrency`, `with_batching`: the same function or class with containers of
its own that are made otherwise."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from squall_contracts.functions import Variant

if TYPE_CHECKING:
    from squall.retries import Retries

V = TypeVar("V")


class Varying(Generic[V]):
    """What functions and classes have in common: V is what they become."""

    @abstractmethod
    def _varied(self, more: Variant) -> V:
        """This one, with these options beside those it was given before. InvalidError."""

    def with_options(
        self,
        *,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        gpu: str | Sequence[str] | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Any] = (),
        volumes: Mapping[str, Any] | None = None,
        retries: "int | Retries | None" = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: int | None = None,
        timeout: float | None = None,
        **others: Any,
    ) -> V:
        """The same with containers of its own, made with these options; units as in
        `App.function`. Whoever chooses the same options shares them.

        What is None stays as declared, `env` is laid over the declared variables, and options of
        several calls add up. No server is asked before something is called. InvalidError names a
        field at fault, or what contradicts the declaration.
        """
        from squall._declaring import variants

        given = variants.Given(
            cpu=cpu,
            memory=memory,
            gpu=gpu,
            env=env,
            secrets=secrets,
            volumes=volumes,
            retries=retries,
            max_containers=max_containers,
            buffer_containers=buffer_containers,
            scaledown_window=scaledown_window,
            timeout=timeout,
        )
        return self._varied(variants.options(given, others))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> V:
        """The same with containers of its own, each of which runs several inputs at a time, as
        `@concurrent` says. InvalidError."""
        from squall._declaring import variants

        return self._varied(variants.concurrency(max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> V:
        """The same with containers of its own, in which the code takes lists, as `@batched` says.
        InvalidError."""
        from squall._declaring import variants

        return self._varied(variants.batching(max_batch_size, wait_ms))
