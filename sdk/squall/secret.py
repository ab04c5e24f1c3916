"""Secrets: environment variables whose values only the functions that use them ever see."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from squall_contracts.secrets import (
    DeleteSecret,
    FindSecret,
    ListSecrets,
    PutSecret,
)
from squall_contracts.secrets import SecretInfo as _Info

from squall import _client, _container, _sync, _validate
from squall._modal.handle import Handle, Page
from squall._modal.spellings import old_spelling
from squall._secret.values import Variables, checked, find_dotenv, read_dotenv
from squall.exception import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
)

Mode = Literal["create", "replace", "merge"]


@dataclass(frozen=True, kw_only=True)
class SecretInfo:
    """What can be learnt of a stored secret; its values can't be read back."""

    secret_id: str
    name: str
    environment: str
    keys: tuple[str, ...]
    created_at: float
    """Unix seconds."""
    updated_at: float
    """Unix seconds."""


class SecretManager:
    """Stored secrets, at `Secret.objects`."""

    @_sync.synced
    async def create(
        self,
        name: str,
        env_dict: Variables,
        *,
        allow_existing: bool = False,
        overwrite: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Store a secret. AlreadyExistsError when there is one, unless `allow_existing` (it stays
        as it is) or `overwrite` (it has these variables and no others from now on)."""
        _validate.object_name("name", name)
        values = checked("env_dict", env_dict)
        try:
            mode: Mode = "replace" if overwrite else "create"
            await _put(name, values, _place(environment_name), mode)
        except AlreadyExistsError:
            if not allow_existing:
                raise

    @_sync.synced
    async def list(
        self,
        *,
        max_objects: int | None = None,
        environment_name: str | None = None,
        client: object = None,
    ) -> "list[SecretInfo]":
        """The stored secrets of an environment by name; values are not among what is told."""
        connected = await _client.connected()
        place = _place(environment_name) or connected.environment
        listed = await connected.control(ListSecrets(environment=place))
        return [_told(each) for each in listed.secrets][:max_objects]

    @_sync.synced
    async def delete(
        self,
        name: str,
        *,
        allow_missing: bool = False,
        environment_name: str | None = None,
        client: object = None,
    ) -> None:
        """Delete a stored secret. NotFoundError unless `allow_missing`. Running containers keep its
        values; functions that use it can't start others."""
        _validate.object_name("name", name)
        connected = await _client.connected()
        place = _place(environment_name) or connected.environment
        try:
            await connected.control(DeleteSecret(environment=place, name=name))
        except NotFoundError:
            if not allow_missing:
                raise


class Secret(Handle):
    """Environment variables for functions: `@app.function(secrets=[…])`.

    Its values are encrypted in this process and opened by the runner that starts a container. Of
    several secrets that name one variable the last one counts; a function's `env` wins over all.
    """

    objects: ClassVar = SecretManager()

    def __init__(self) -> None:
        raise InvalidError("a Secret comes from Secret.from_name(…) or Secret.from_dict(…)")

    _name: str
    _environment: str
    _required: tuple[str, ...]
    _values: dict[str, str] | None
    _id: str | None

    @classmethod
    def _new(cls, values: dict[str, str] | None) -> Self:
        made = cls.__new__(cls)
        made._name = made._environment = ""
        made._required = ()
        made._values = values
        made._id = None
        return made

    # --- where they come from ------------------------------------------------------------------

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        required_keys: Sequence[str] = (),
        client: object = None,
    ) -> Self:
        """A stored secret. Looked up when an app that uses it starts, and in the app's environment
        unless one is named: NotFoundError then, also where it lacks a key of `required_keys`."""
        if isinstance(required_keys, str):
            raise InvalidError("required_keys must be a list of str, not a str")
        made = cls._new(None)
        made._name = _validate.object_name("name", name)
        if environment_name is not None:
            made._environment = _validate.environment_name(environment_name)
        made._required = tuple(_validate.text("required_keys", key) for key in required_keys)
        return made

    @classmethod
    def lookup(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        required_keys: Sequence[str] = (),
        client: object = None,
    ) -> Self:
        """The old spelling of `from_name`, which looks it up at once. NotFoundError."""
        old_spelling("Secret.lookup", "Secret.from_name")
        found = cls.from_name(name, environment_name=environment_name, required_keys=required_keys)
        found.hydrate()
        return found

    @classmethod
    def from_dict(cls, env_dict: Variables | None = None) -> Self:
        """The functions' own: these variables. Those that are None are left out. InvalidError names
        a key at fault, never a value."""
        return cls._new(checked("env_dict", {} if env_dict is None else env_dict))

    @classmethod
    def from_local_environ(cls, env_keys: Sequence[str]) -> Self:
        """These variables as they are here. InvalidError names one that isn't set; in a container,
        which imports the module again, there is nothing to be read and nothing is."""
        if isinstance(env_keys, str):
            raise InvalidError("env_keys must be a list of str, not a str")
        if _container.assignment() is not None:
            return cls._new({})
        missing = [key for key in env_keys if key not in os.environ]
        if missing:
            raise InvalidError(f"env_keys: {', '.join(missing)} not set in this environment")
        return cls.from_dict({key: os.environ[key] for key in env_keys})

    @classmethod
    def from_dotenv(
        cls, path: str | Path | None = None, *, filename: str = ".env", client: object = None
    ) -> Self:
        """The variables of a dotenv file: `path` itself, or the first `filename` found from the
        directory `path` (None: the working directory) upwards. NotFoundError if there is none; in
        a container nothing is read."""
        if _container.assignment() is not None:
            return cls._new({})
        start = Path.cwd() if path is None else Path(path).absolute()
        return cls.from_dict(read_dotenv(find_dotenv(start, filename)))

    # --- what it is ----------------------------------------------------------------------------

    @property
    def name(self) -> str | None:
        """None for one that isn't stored under a name."""
        return self._name or None

    @property
    def object_id(self) -> str:
        """AttributeError until it was looked up, and for one that has no name."""
        if self._id is None:
            raise AttributeError(f"{self!r} was not looked up yet: call hydrate()")
        return self._id

    def __repr__(self) -> str:
        if self._name:
            return f"Secret.from_name({self._name!r})"
        return f"Secret with {', '.join(sorted(self._values or ())) or 'no variables'}"

    def __reduce__(self) -> tuple[object, tuple[str, str, tuple[str, ...]]]:
        """Where a function that refers to it is pickled, its values stay behind."""
        return _unpickled, (self._name, self._environment, self._required)

    async def _page(self) -> Page:
        if self._name:
            await self._find()
        return Page("secrets", self._environment or None)

    @_sync.synced
    async def hydrate(self, client: object = None) -> "Secret":
        """Look it up now. NotFoundError."""
        if self._name:
            self._id = (await self._find()).secret_id
        return self

    @_sync.synced
    async def info(self) -> SecretInfo:
        """When it was made and changed, and its keys. NotFoundError; InvalidError without a name."""
        return _told(await self._find())

    @_sync.synced
    async def update(self, env_dict: Variables) -> None:
        """Set these variables; the others stay, as do those given as None.

        Containers that run with what they were take no more inputs when this returns: the next
        call meets the new values. NotFoundError if it isn't stored.
        """
        if not self._name:
            raise InvalidError("only a stored secret can be updated: Secret.from_name(…)")
        values = checked("env_dict", env_dict)
        await _put(self._name, values, self._environment, "merge")

    async def _find(self) -> _Info:
        if not self._name:
            raise InvalidError("it has no name to be looked up by: use Secret.from_name(…)")
        client = await _client.connected()
        return await client.control(
            FindSecret(
                environment=self._environment or client.environment,
                name=self._name,
                required_keys=self._required,
            )
        )


def _place(environment_name: str | None) -> str:
    return "" if environment_name is None else _validate.environment_name(environment_name)


async def _put(name: str, values: Mapping[str, str], place: str, mode: Mode) -> _Info:
    """Seal and store; once more if the workspace's key was just rotated."""
    from squall._secret.sealing import sealing

    client = await _client.connected()
    for last in (False, True):
        seal = await sealing(client)
        request = PutSecret(
            environment=place or client.environment, name=name, variables=seal(values), mode=mode
        )
        try:
            return await client.control(request)
        except PermissionDeniedError:
            if last:
                raise
    raise AssertionError


def _told(info: _Info) -> SecretInfo:
    return SecretInfo(
        secret_id=info.secret_id,
        name=info.name,
        environment=info.environment,
        keys=info.keys,
        created_at=info.created_unix_s,
        updated_at=info.updated_unix_s,
    )


def _unpickled(name: str, environment: str, required: tuple[str, ...]) -> Secret:
    made = Secret._new(None if name else {})
    made._name, made._environment, made._required = name, environment, required
    return made


def check_list(field: str, value: object) -> tuple[Secret, ...]:
    """`value` as secrets. InvalidError."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidError(f"{field} must be a list of squall.Secret, not {type(value).__name__}")
    secrets = tuple(value)
    for each in secrets:
        if not isinstance(each, Secret):
            raise InvalidError(f"{field} must hold squall.Secret, not {type(each).__name__}")
    return secrets
