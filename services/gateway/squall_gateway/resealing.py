"""Sealing keys in use: told to clients, rotated, and what is sealed to one sealed to another."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import structlog
from squall_bus.access.sealing import Unsealable
from squall_bus.access.sealing_keys import SealingKeys, WorkspaceKeys
from squall_bus.errors import RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_bus.stores.kv import KeyValue
from squall_contracts import sandbox_subjects, secrets, state_subjects, subjects
from squall_contracts.functions import FunctionRecord
from squall_contracts.sandboxes import SandboxRecord, function_of
from squall_contracts.secrets import Resealed, Sealed, SecretRecord

from squall_gateway import sealed

log = structlog.get_logger()

ATTEMPTS: Final = 5
R = TypeVar("R")


def rewrapped(
    keys: WorkspaceKeys, account: str, what: str, value: Sealed, to: bytes | None = None
) -> bytes:
    """The value's own key, sealed to the public key `to` (None: to the current one).

    SquallRefusal, beginning with `what`, when its sealing key is revoked or unknown, or it was
    sealed for another workspace or is damaged; or when `to` is no public key.
    """
    pair = keys.find(value.key_id)
    if pair is None:
        why = "was revoked" if value.key_id in keys.revoked.values() else "is not known here"
        raise SquallRefusal(
            "denied",
            f"{what}: its sealing key {value.key_id} {why}: create the secret, or deploy, again",
        )
    try:
        return pair.rewrap(value.wrapped, account, to or keys.current.public)
    except Unsealable as error:
        raise SquallRefusal("denied", f"{what}: {error}: seal it again") from error
    except ValueError as error:
        raise SquallRefusal("invalid", f"public_key: {error}") from error


def resealed(
    keys: WorkspaceKeys, account: str, what: str, variables: Mapping[str, Sealed], to: bytes
) -> dict[str, Resealed]:
    """The variables, each sealed to the public key `to` instead. SquallRefusal, as `rewrapped`; it
    names the variable behind `what`."""
    return {
        name: Resealed(wrapped=rewrapped(keys, account, f"{what} {name}", each, to), box=each.box)
        for name, each in variables.items()
    }


class Resealing:
    """The key directory, and the two buckets that hold what is sealed."""

    def __init__(self, context: Context, folder: Path) -> None:
        self._keys = SealingKeys(folder)
        self._secrets = context.bus.kv(state_subjects.SECRETS_BUCKET, SecretRecord)
        self._functions = context.bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord)
        self._sandboxes = context.bus.kv(sandbox_subjects.SANDBOXES_BUCKET, SandboxRecord)

    async def load(self, account: str) -> WorkspaceKeys:
        return await asyncio.to_thread(self._keys.load, account)

    async def key(self, account: str, _: secrets.GetSealingKey) -> secrets.SealingKey:
        pair = (await self.load(account)).current
        return secrets.SealingKey(key_id=pair.key_id, public_key=pair.public, account=account)

    async def rotate(self, account: str, request: secrets.RotateSealingKey) -> secrets.KeyRotated:
        """The new key comes first, so that whatever is sealed from here on is sealed to it."""
        keys = await asyncio.to_thread(self._keys.rotate, account)
        key_id = keys.current.key_id
        stored = await self._secrets.keys(f"{account}.")
        for key in stored:
            await _rewrite(self._secrets, key, partial(_secret_under, keys, account))
        functions = [
            function_id
            for function_id, record in (await self._functions.items()).items()
            if record.workspace == account and any(use.variables for use in record.spec.secrets)
        ]
        for function_id in functions:
            await _rewrite(self._functions, function_id, partial(_function_under, keys, account))
        for key in await self._sandboxes.keys(f"{account}."):
            await _rewrite(self._sandboxes, key, partial(_sandbox_under, keys, account))
        revoked: tuple[str, ...] = ()
        if request.revoke:
            revoked = await asyncio.to_thread(self._keys.revoke_older, account, key_id)
        log.info("sealing_key.rotated", workspace=account, key_id=key_id, revoked=revoked)
        return secrets.KeyRotated(
            key_id=key_id, secrets=len(stored), functions=len(functions), revoked=revoked
        )


def _secret_under(keys: WorkspaceKeys, account: str, record: SecretRecord) -> SecretRecord:
    rewrap = partial(rewrapped, keys, account, f"secret {record.name}")
    fresh = sealed.resealed(record.variables, keys.current.key_id, rewrap)
    return msgspec.structs.replace(record, variables=fresh)


def _function_under(keys: WorkspaceKeys, account: str, record: FunctionRecord) -> FunctionRecord:
    """Its version stays, so nothing restarts."""
    rewrap = partial(rewrapped, keys, account, f"function {record.spec.name}")
    fresh = sealed.resealed_uses(record.spec.secrets, keys.current.key_id, rewrap)
    return msgspec.structs.replace(record, spec=msgspec.structs.replace(record.spec, secrets=fresh))


def _sandbox_under(keys: WorkspaceKeys, account: str, record: SandboxRecord) -> SandboxRecord:
    if record.ended is not None:
        return record
    function = _function_under(keys, account, function_of(record))
    return msgspec.structs.replace(record, spec=function.spec)


async def _rewrite(bucket: KeyValue[R], key: str, change: Callable[[R], R]) -> None:
    """Change one entry, whoever else does; one that is gone stays gone."""
    for _ in range(ATTEMPTS):
        entry = await bucket.get(key)
        if entry is None:
            return
        fresh = change(entry.value)
        if fresh == entry.value:
            return
        try:
            await bucket.update(key, fresh, entry.revision)
        except RevisionMismatch:
            continue
        return
    raise SquallRefusal("exhausted", f"{key} is being changed by others: try again")
