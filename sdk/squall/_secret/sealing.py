"""Sealing on the client: what leaves this process of a secret is of no use on the way."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec
from squall_contracts.buckets import NEEDED_KEYS
from squall_contracts.functions import FunctionSpec
from squall_contracts.secrets import FindSecret, GetSealingKey, Sealed, SecretUse

from squall._apps.places import require

if TYPE_CHECKING:
    from squall._apps.spec import Plan
    from squall._client import Client
    from squall.image import ResolvedImage
    from squall.secret import Secret

Seal = Callable[[Mapping[str, str]], dict[str, Sealed]]


async def sealing(client: "Client") -> Seal:
    """A function that seals variables to the workspace's key in use."""
    from squall_bus.access.sealing import seal

    key = await client.control(GetSealingKey())

    def sealed(values: Mapping[str, str]) -> dict[str, Sealed]:
        return {
            name: seal(value, name=name, key=key, mark_key=client.mark_key)
            for name, value in values.items()
        }

    return sealed


async def sealed_values(client: "Client", image: "ResolvedImage") -> tuple[dict[str, Sealed], ...]:
    """The values of an image's secrets that are not stored, in order. No round trip without any."""
    own = [secret._values or {} for secret in image.secrets if not secret._name]
    if not own:
        return ()
    seal = await sealing(client)
    return tuple(seal(values) for values in own)


async def check_place(client: "Client", made: "Plan", environment: str) -> None:
    """NotFoundError, before anything is built for long, for an environment, a secret or one of its
    variables that isn't there."""
    await require(client, environment)
    for secret, bucket in _distinct(made):
        if secret._name:
            await client.control(
                FindSecret(
                    environment=secret._environment or environment,
                    name=secret._name,
                    required_keys=_required(secret, bucket),
                )
            )


async def with_secrets(client: "Client", made: "Plan") -> tuple[FunctionSpec, ...]:
    """The functions of a plan, their secrets sealed into them. No round trip without values."""
    wanted = _distinct(made)
    if not wanted:
        return tuple(made.functions)
    seal: Seal | None = None
    uses: dict[tuple[int, str], SecretUse] = {}
    for secret, bucket in wanted:
        if secret._values and seal is None:
            seal = await sealing(client)
        uses[id(secret), bucket] = _use(secret, bucket, seal)
    return tuple(
        msgspec.structs.replace(
            spec,
            secrets=tuple(uses[id(secret), bucket] for secret, bucket in _uses(made, spec.name)),
        )
        for spec in made.functions
    )


async def sealed_uses(client: "Client", secrets: "tuple[Secret, ...]") -> tuple[SecretUse, ...]:
    """Secrets for one command. NotFoundError for one that isn't there comes with that."""
    if not secrets:
        return ()
    has_values = any(secret._values for secret in secrets)
    seal = await sealing(client) if has_values else None
    return tuple(_use(secret, "", seal) for secret in secrets)


def _uses(made: "Plan", name: str) -> "list[tuple[Secret, str]]":
    """A function's secrets, each with the mount path of the bucket it is for, if it is for one."""
    buckets = made.buckets.get(name, {}).items()
    return [
        *((secret, "") for secret in made.secrets.get(name, ())),
        *((mount.secret, path) for path, mount in buckets if mount.secret is not None),
    ]


def _distinct(made: "Plan") -> "list[tuple[Secret, str]]":
    names = [spec.name for spec in made.functions]
    found = {(id(secret), path): (secret, path) for n in names for secret, path in _uses(made, n)}
    return list(found.values())


def _required(secret: "Secret", bucket: str) -> tuple[str, ...]:
    return (*secret._required, *NEEDED_KEYS) if bucket else secret._required


def _use(secret: "Secret", bucket: str, seal: Seal | None) -> SecretUse:
    if secret._name:
        return SecretUse(
            name=secret._name,
            environment=secret._environment,
            required_keys=_required(secret, bucket),
            bucket=bucket,
        )
    if not secret._values or seal is None:
        return SecretUse(bucket=bucket)
    return SecretUse(variables=seal(secret._values), bucket=bucket)
