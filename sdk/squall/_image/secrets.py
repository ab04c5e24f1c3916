"""Secrets of build steps: an image is named by whose they are, never by what they hold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace
from squall_contracts import images
from squall_contracts.secrets import StepSecret

from squall._image.files import Collector
from squall._image.layers import Layer

if TYPE_CHECKING:
    from squall.secret import Secret

ELSEWHERE: Final = "give them to run_commands, which hides them"


@dataclass(frozen=True)
class WithSecrets:
    """A step that runs with secrets."""

    layer: Layer
    secrets: "tuple[Secret, ...]"

    @property
    def label(self) -> str:
        return self.layer.label

    def step(self, collector: Collector) -> images.Step:
        return _having(self.layer.step(collector), map(_named, self.secrets))


def checked(label: str, secrets: Sequence[Any] | None) -> "tuple[Secret, ...]":
    """InvalidError unless these are secrets."""
    from squall.secret import check_list

    return check_list(f"{label}: secrets", () if secrets is None else secrets)


def with_secrets(layer: Layer, secrets: "tuple[Secret, ...]") -> Layer:
    return WithSecrets(layer, secrets) if secrets else layer


def of_layers(layers: Iterable[Layer]) -> "tuple[Secret, ...]":
    """The secrets of all steps, in order."""
    return tuple(
        secret for layer in layers if isinstance(layer, WithSecrets) for secret in layer.secrets
    )


def _named(secret: "Secret") -> StepSecret:
    if secret._name:
        keys = tuple(sorted(secret._required))
        return StepSecret(name=secret._name, environment=secret._environment, keys=keys)
    return StepSecret(keys=tuple(sorted(secret._values or ())))


def _having(step: Any, secrets: Iterable[StepSecret]) -> images.Step:
    changed: images.Step = replace(step, secrets=tuple(secrets))
    return changed


def in_environment(recipe: images.Recipe, environment: str) -> images.Recipe:
    """The recipe with stored secrets that name no environment looked up in this one."""

    def settled(secret: StepSecret) -> StepSecret:
        if not secret.name or secret.environment:
            return secret
        return replace(secret, environment=environment)

    def step_in(step: images.Step) -> images.Step:
        secrets = images.step_secrets(step)
        if not secrets:
            return step
        return _having(step, map(settled, secrets))

    return replace(recipe, steps=tuple(map(step_in, recipe.steps)))
