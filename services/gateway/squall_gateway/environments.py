"""Environments: made, listed, changed, deleted, and asked for by whatever lives in one."""

import time
from typing import Final

import msgspec
import structlog
from squall_bus.errors import KeyExists, SquallRefusal
from squall_bus.service import Context
from squall_contracts import environments, state_subjects
from squall_contracts.environments import DEFAULT, EnvironmentEntry, EnvironmentRecord

from squall_gateway.validation import InvalidFieldError, check_environment, check_web_suffix

log = structlog.get_logger()

LISTED_IN_ERRORS: Final = 20


class Environments:
    """The part of the control API about environments; `main` is in every workspace."""

    def __init__(self, context: Context) -> None:
        self._records = context.bus.kv(state_subjects.ENVIRONMENTS_BUCKET, EnvironmentRecord)

    async def require(self, account: str, name: str) -> None:
        """SquallRefusal, with the names there are, unless the environment exists."""
        await self._known(account, name)

    async def create(
        self, account: str, request: environments.CreateEnvironment
    ) -> EnvironmentEntry:
        key = _key(account, request.name)
        _check_suffix(request.web_suffix)
        if request.name.startswith("en-"):
            raise SquallRefusal("invalid", "name: 'en-' begins ids: choose another name")
        record = EnvironmentRecord(
            workspace=account,
            name=request.name,
            web_suffix=request.web_suffix or request.name.lower().replace("_", "-"),
            created_unix_s=time.time(),
        )
        try:
            if request.name == DEFAULT:
                raise KeyExists(DEFAULT)
            await self._records.create(key, record)
        except KeyExists as error:
            raise SquallRefusal(
                "already_exists", f"environment {request.name!r} exists: choose another name"
            ) from error
        log.info("environment.created", workspace=account, environment=request.name)
        return _entry(record)

    async def update(
        self, account: str, request: environments.UpdateEnvironment
    ) -> EnvironmentEntry:
        record = await self._known(account, request.name)
        if request.web_suffix is None:
            return _entry(record)
        _check_suffix(request.web_suffix)
        changed = msgspec.structs.replace(record, web_suffix=request.web_suffix)
        await self._records.put(_key(account, request.name), changed)
        return _entry(changed)

    async def succeed(self, account: str, old: str, new: str) -> None:
        """Make the environment that takes the place of another, unless that was begun before."""
        key = _key(account, new)
        if new == DEFAULT or new.startswith("en-"):
            raise SquallRefusal("invalid", f"new_name: {new!r} can't be given: choose another name")
        record = msgspec.structs.replace(
            await self._known(account, old), name=new, renamed_from=old
        )
        try:
            await self._records.create(key, record)
        except KeyExists as error:
            there = await self._records.get(key)
            if there is None or there.value.renamed_from != old:
                raise SquallRefusal(
                    "already_exists", f"environment {new!r} exists: choose another name"
                ) from error

    async def succeeded(self, account: str, new: str) -> None:
        """All of the other is here now."""
        record = await self._known(account, new)
        settled = msgspec.structs.replace(record, renamed_from="")
        await self._records.put(_key(account, new), settled)

    async def list(
        self, account: str, _: environments.ListEnvironments
    ) -> environments.EnvironmentList:
        records = await self._all(account)
        ordered = sorted(records, key=lambda record: (record.name != DEFAULT, record.name))
        return environments.EnvironmentList(environments=tuple(map(_entry, ordered)))

    async def find(self, account: str, request: environments.FindEnvironment) -> EnvironmentEntry:
        return _entry(await self._known(account, request.name))

    async def forget(self, account: str, name: str) -> None:
        """Take out an environment that nothing is left in."""
        await self._records.delete(_key(account, name))
        log.info("environment.deleted", workspace=account, environment=name)

    async def _all(self, account: str) -> tuple[EnvironmentRecord, ...]:
        records = (await self._records.items(f"{account}.")).values()
        if any(record.name == DEFAULT for record in records):
            return tuple(records)
        return (*records, _default(account))

    async def _known(self, account: str, name: str) -> EnvironmentRecord:
        entry = await self._records.get(_key(account, name))
        if entry is not None:
            return entry.value
        if name == DEFAULT:
            return _default(account)
        names = sorted(record.name for record in await self._all(account))
        shown = ", ".join(names[:LISTED_IN_ERRORS])
        more = f" and {len(names) - LISTED_IN_ERRORS} more" if len(names) > LISTED_IN_ERRORS else ""
        raise SquallRefusal(
            "not_found",
            f"there is no environment {name!r}; there are: {shown}{more}. "
            f"Make it with `squall environment create {name}`",
        )


def _default(account: str) -> EnvironmentRecord:
    """`main` before anybody changed it."""
    return EnvironmentRecord(workspace=account, name=DEFAULT, created_unix_s=0.0)


def _entry(record: EnvironmentRecord) -> EnvironmentEntry:
    return EnvironmentEntry(
        name=record.name, web_suffix=record.web_suffix, created_unix_s=record.created_unix_s
    )


def _key(account: str, name: str) -> str:
    try:
        check_environment(name)
    except InvalidFieldError as error:
        raise SquallRefusal("invalid", str(error)) from error
    return state_subjects.environment_key(account, name)


def _check_suffix(suffix: str) -> None:
    try:
        check_web_suffix(suffix)
    except InvalidFieldError as error:
        raise SquallRefusal("invalid", str(error)) from error
