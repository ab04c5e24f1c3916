"""Sealing on the client: what leaves this process of a secret is of no use on the way."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from squall_contracts.functions import FunctionSpec
from squall_contracts.secrets import FindSecret, GetSealingKey, Sealed, SecretUse

from squall._apps.places import require

if TYPE_CHECKING:
    from squall._apps.spec import Plan
    from squall._client import Client
    from squall.secret import Secret

Seal = Callable[[Mapping[str, str]], dict[str, Sealed]]


async def sealing(client: "Client") -> Seal:
    """A function that seals variables to the workspace's key in use."""
    from squall_bus.sealing import seal

    key = await client.control(GetSealingKey())

    def sealed(values: Mapping[str, str]) -> dict[str, Sealed]:
        return {
            name: seal(value, name=name, key=key, mark_key=client.mark_key)
            for name, value in values.items()
        }

    return sealed


async def check_place(client: "Client", made: "Plan", environment: str) -> None:
    """NotFoundError, before anything is built for long, for an environment, a secret or one of its
    variables that isn't there."""
    await require(client, environment)
    for secret in _distinct(made):
        if secret._name:
            await client.control(
                FindSecret(
                    environment=secret._environment or environment,
                    name=secret._name,
                    required_keys=secret._required,
                )
            )


async def with_secrets(client: "Client", made: "Plan") -> tuple[FunctionSpec, ...]:
    """The functions of a plan, their secrets sealed into them. No round trip without values."""
    if not made.secrets:
        return tuple(made.functions)
    seal: Seal | None = None
    uses: dict[int, SecretUse] = {}
    for secret in _distinct(made):
        if secret._values and seal is None:
            seal = await sealing(client)
        uses[id(secret)] = _use(secret, seal)
    return tuple(
        msgspec.structs.replace(
            spec,
            secrets=tuple(uses[id(secret)] for secret in made.secrets.get(spec.name, ())),
        )
        for spec in made.functions
    )


def _distinct(made: "Plan") -> "list[Secret]":
    return list({id(each): each for many in made.secrets.values() for each in many}.values())


def _use(secret: "Secret", seal: Seal | None) -> SecretUse:
    if secret._name:
        return SecretUse(
            name=secret._name,
            environment=secret._environment,
            required_keys=secret._required,
        )
    if not secret._values or seal is None:
        return SecretUse()
    return SecretUse(variables=seal(secret._values))
