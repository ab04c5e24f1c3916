"""Stored secrets: written, listed, looked up and deleted. Values pass through here sealed."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import structlog
from squall_bus.errors import KeyExists, RevisionMismatch, SquallRefusal
from squall_bus.service import Context
from squall_bus.stores.kv import Entry
from squall_contracts import apps, secrets, state_subjects
from squall_contracts.functions import FunctionSpec
from squall_contracts.message import new_id
from squall_contracts.secrets import Sealed, SecretRecord

from squall_gateway import sealed
from squall_gateway.environments import Environments
from squall_gateway.registry import Registry
from squall_gateway.resealing import Resealing, rewrapped
from squall_gateway.successors import Successors
from squall_gateway.validation import InvalidFieldError, check_secret

log = structlog.get_logger()

ATTEMPTS: Final = 5


class Secrets:
    """The part of the control API about secrets."""

    def __init__(
        self, context: Context, registry: Registry, environments: Environments, keys: Resealing
    ) -> None:
        self._registry = registry
        self._environments = environments
        self._keys = keys
        self._successors = Successors(context)
        self._records = context.bus.kv(state_subjects.SECRETS_BUCKET, SecretRecord)

    # --- verbs -----------------------------------------------------------------------------------

    async def put(self, account: str, request: secrets.PutSecret) -> secrets.SecretInfo:
        await self._environments.require(account, request.environment)
        _checked(request.name, request.variables)
        await self._check_current(account, request.variables)
        for _ in range(ATTEMPTS):
            try:
                record = await self._write(account, request)
            except (RevisionMismatch, KeyExists):
                continue
            break
        else:
            raise SquallRefusal("exhausted", "the secret is being changed by others: try again")
        # Checked again: a rotation meanwhile may have read the bucket before this was in it.
        await self._check_current(account, request.variables)
        log.info("secret.stored", workspace=account, environment=request.environment)
        return sealed.info(record, await self._renew(record))

    async def delete(self, account: str, request: secrets.DeleteSecret) -> apps.Done:
        entry = await self._found(account, request.environment, request.name)
        await self._records.delete(entry.key)
        log.info("secret.deleted", workspace=account, environment=request.environment)
        return apps.Done()

    async def find(self, account: str, request: secrets.FindSecret) -> secrets.SecretInfo:
        entry = await self._found(account, request.environment, request.name)
        lacking = sealed.missing_keys(entry.value, request.required_keys)
        if lacking:
            raise SquallRefusal("not_found", lacking)
        return sealed.info(entry.value)

    async def list(self, account: str, request: secrets.ListSecrets) -> secrets.SecretList:
        if request.environment is not None:
            await self._environments.require(account, request.environment)
        place = "" if request.environment is None else f"{request.environment}."
        records = (await self._records.items(f"{account}.{place}")).values()
        ordered = sorted(records, key=lambda record: (record.environment, record.name))
        return secrets.SecretList(secrets=tuple(map(sealed.info, ordered)))

    # --- for other parts of the gateway ----------------------------------------------------------

    async def drop(self, account: str, environment: str) -> None:
        """Delete all of an environment's."""
        for key in await self._records.keys(f"{account}.{environment}."):
            await self._records.delete(key)

    async def move(self, account: str, environment: str, to: str) -> None:
        """Put all of an environment's into another."""
        for key, record in (await self._records.items(f"{account}.{environment}.")).items():
            moved = msgspec.structs.replace(record, environment=to)
            await self._records.put(_key(account, to, record.name), moved)
            await self._records.delete(key)

    async def variables(
        self, account: str, environment: str, spec: FunctionSpec
    ) -> dict[str, dict[str, Sealed]]:
        """What a function's containers get, by bucket. SquallRefusal names a secret or variable missing."""
        wanted = sorted(set(sealed.places(spec, environment)))
        found = await asyncio.gather(
            *(self._records.get(state_subjects.secret_key(account, *place)) for place in wanted)
        )
        stored = {p: e.value for p, e in zip(wanted, found, strict=True) if e is not None}
        try:
            return sealed.variables(spec, environment, stored)
        except sealed.MissingError as error:
            raise SquallRefusal("not_found", f"function {spec.name!r}: {error}") from error

    async def record(self, account: str, wanted: secrets.StepSecret) -> SecretRecord:
        """A stored secret as an image names it. SquallRefusal: it, or a variable of it, is missing."""
        found = (await self._found(account, wanted.environment, wanted.name)).value
        lacking = sealed.missing_keys(found, wanted.keys)
        if lacking:
            raise SquallRefusal("not_found", lacking)
        return found

    async def check(
        self, account: str, environment: str, functions: Iterable[FunctionSpec]
    ) -> None:
        """Refuse functions whose containers could not start for want of a secret or its key."""
        using = [spec for spec in functions if spec.secrets]
        if not using:
            return
        keys = await self._keys.load(account)
        for spec in using:
            for merged in (await self.variables(account, environment, spec)).values():
                for name, each in merged.items():
                    rewrapped(keys, account, f"function {spec.name!r}: variable {name}", each)

    # --- inside ----------------------------------------------------------------------------------

    async def _write(self, account: str, request: secrets.PutSecret) -> SecretRecord:
        """One attempt. RevisionMismatch, KeyExists: somebody else was faster."""
        key, now_unix_s = _key(account, request.environment, request.name), time.time()
        entry = await self._records.get(key)
        if entry is not None:
            record = _changed(entry.value, request, now_unix_s)
            await self._records.update(key, record, entry.revision)
            return record
        if request.mode == "merge":
            missing = sealed.missing_secret(request.environment, request.name)
            raise SquallRefusal("not_found", missing)
        record = SecretRecord(
            secret_id=new_id("st"),
            workspace=account,
            environment=request.environment,
            name=request.name,
            variables=request.variables,
            created_unix_s=now_unix_s,
            updated_unix_s=now_unix_s,
        )
        await self._records.create(key, record)
        return record

    async def _renew(self, record: SecretRecord) -> int:
        """Containers that have read what the secret was make way; how many."""
        functions = (await self._registry.functions.items()).values()
        users = sealed.users(functions, record.workspace, record.environment, record.name)
        return await self._successors.make_way(users, f"secret {record.name} was changed")

    async def _found(self, account: str, environment: str, name: str) -> Entry[SecretRecord]:
        await self._environments.require(account, environment)
        entry = await self._records.get(_key(account, environment, name))
        if entry is None:
            raise SquallRefusal("not_found", sealed.missing_secret(environment, name))
        return entry

    async def _check_current(self, account: str, variables: Mapping[str, Sealed]) -> None:
        keys = await self._keys.load(account)
        for name, each in variables.items():
            if each.key_id != keys.current.key_id:
                raise SquallRefusal(
                    "denied",
                    f"variable {name}: sealed to {each.key_id}, which is no longer the "
                    "workspace's key: try again",
                )
            rewrapped(keys, account, f"variable {name}", each)


def _changed(record: SecretRecord, request: secrets.PutSecret, now_unix_s: float) -> SecretRecord:
    if request.mode == "create":
        raise SquallRefusal(
            "already_exists",
            f"secret {request.name!r} exists in environment {request.environment!r}: replace it "
            "with --force (allow_existing=True), or choose another name",
        )
    kept = record.variables if request.mode == "merge" else {}
    variables = {**kept, **request.variables}
    _checked(record.name, variables)
    return msgspec.structs.replace(record, variables=variables, updated_unix_s=now_unix_s)


def _checked(name: str, variables: Mapping[str, Sealed]) -> None:
    try:
        check_secret(name, variables)
    except InvalidFieldError as error:
        raise SquallRefusal("invalid", str(error)) from error


def _key(account: str, environment: str, name: str) -> str:
    try:
        return state_subjects.secret_key(account, environment, name)
    except ValueError as error:
        raise SquallRefusal("invalid", f"name: {error}") from error
