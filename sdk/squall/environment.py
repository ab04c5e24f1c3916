"""Environments: parts of a workspace that keep apps, secrets and their data apart."""

from dataclasses import dataclass
from typing import ClassVar, Self

from squall_contracts import environments
from squall_contracts.environments import EnvironmentEntry

from squall import _client, _sync, _validate
from squall._modal.handle import Absent, Handle, Page
from squall.exception import AlreadyExistsError, InvalidError, NotFoundError


@dataclass(frozen=True, kw_only=True)
class EnvironmentInfo:
    """What there is to know of an environment."""

    name: str
    web_suffix: str
    created_at: float
    """Unix seconds; 0 for `main`, which always was."""


class EnvironmentManager:
    """All environments, at `Environment.objects`."""

    @_sync.synced
    async def create(
        self, name: str, *, allow_existing: bool = False, client: object = None
    ) -> None:
        """AlreadyExistsError when there is one, unless `allow_existing`."""
        _validate.environment_name(name)
        connected = await _client.connected()
        try:
            await connected.control(environments.CreateEnvironment(name=name))
        except AlreadyExistsError:
            if not allow_existing:
                raise

    @_sync.synced
    async def list(self, *, client: object = None) -> "list[EnvironmentInfo]":
        """`main` first, then by name."""
        connected = await _client.connected()
        listed = await connected.control(environments.ListEnvironments())
        return [_told(each) for each in listed.environments]

    @_sync.synced
    async def delete(
        self, name: str, *, allow_missing: bool = False, client: object = None
    ) -> None:
        """Delete it with all that is in it: its apps stop. NotFoundError unless `allow_missing`."""
        _validate.environment_name(name)
        connected = await _client.connected()
        try:
            await connected.control(environments.DeleteEnvironment(name=name))
        except NotFoundError:
            if not allow_missing:
                raise


class Environment(Handle):
    """An environment of the workspace. Everything by name is looked up in one."""

    objects: ClassVar = EnvironmentManager()

    def __init__(self) -> None:
        raise InvalidError("an Environment comes from Environment.from_name(…)")

    _name: str
    _create: bool

    @classmethod
    def _new(cls, name: str, create: bool) -> Self:
        made = cls.__new__(cls)
        made._name = name
        made._create = create
        return made

    @classmethod
    def from_name(
        cls, name: str, *, create_if_missing: bool = False, client: object = None
    ) -> Self:
        """The environment of that name. Looked up on use: NotFoundError then."""
        return cls._new(_validate.environment_name(name), create_if_missing)

    @classmethod
    def from_context(cls, *, client: object = None) -> Self:
        """The one this process works in: SQUALL_ENVIRONMENT, the profile's, or `main`; in a
        container that of its app."""
        from squall import _container, config

        here = _container.assignment()
        return cls._new(config.settings().environment if here is None else here.environment, False)

    object_id = Absent("an environment is known by its name")
    apps = Absent("use squall.experimental.list_deployed_apps(environment_name)")
    billing = Absent("Squall sends no bills")
    members = Absent("who may do what is in `squall token` and `squall admin`")
    roles = Absent("who may do what is in `squall token` and `squall admin`")

    @property
    def name(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"Environment.from_name({self._name!r})"

    async def _page(self) -> Page:
        await self._find()
        return Page("", self._name)

    @_sync.synced
    async def hydrate(self, client: object = None) -> "Environment":
        """Look it up now, or make it where `create_if_missing` was asked for. NotFoundError lists
        those there are."""
        await self._find()
        return self

    @_sync.synced
    async def info(self) -> EnvironmentInfo:
        """NotFoundError lists the environments there are."""
        return _told(await self._find())

    async def _find(self) -> EnvironmentEntry:
        client = await _client.connected()
        try:
            return await client.control(environments.FindEnvironment(name=self._name))
        except NotFoundError:
            if not self._create:
                raise
        try:
            return await client.control(environments.CreateEnvironment(name=self._name))
        except AlreadyExistsError:  # somebody made it in between
            return await client.control(environments.FindEnvironment(name=self._name))


def _told(entry: EnvironmentEntry) -> EnvironmentInfo:
    return EnvironmentInfo(
        name=entry.name, web_suffix=entry.web_suffix, created_at=entry.created_unix_s
    )
