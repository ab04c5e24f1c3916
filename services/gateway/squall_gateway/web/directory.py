"""Keeps the directory of endpoints as the registry has it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from squall_bus.service import Context
from squall_contracts import state_subjects, subjects
from squall_contracts.environments import DEFAULT, EnvironmentRecord
from squall_contracts.functions import FunctionRecord
from squall_contracts.identity import WorkspaceRecord

from squall_gateway.core import Owner, deployed_app_id
from squall_gateway.web.core import Directory, Endpoint, endpoints_of


class Follower:
    """Reads the registry into a Directory, and follows it."""

    def __init__(self, context: Context, directory: Directory) -> None:
        self._context = context
        self._directory = directory
        self._functions: dict[str, tuple[FunctionRecord, int]] = {}
        self._names: dict[str, str] = {}
        self._suffixes: dict[tuple[str, str], str] = {}

    async def follow(self, ready: asyncio.Event) -> None:
        """Read all, set `ready`, and follow changes for ever."""
        bus = self._context.bus
        async with (
            bus.kv(subjects.WORKSPACES_BUCKET, WorkspaceRecord).watch() as workspaces,
            bus.kv(state_subjects.ENVIRONMENTS_BUCKET, EnvironmentRecord).watch() as environments,
            bus.kv(subjects.FUNCTIONS_BUCKET, FunctionRecord).watch() as functions,
        ):
            for environment in (await environments.initial()).values():
                self._suffix(environment)
            for account, workspace in (await workspaces.initial()).items():
                self._name(account, workspace)
            for function_id, record in (await functions.initial()).items():
                self._put(function_id, record, 0)
            ready.set()
            async with asyncio.TaskGroup() as all_of_it:

                async def hear_names() -> None:
                    async for change in workspaces:
                        self._name(change.key, change.value)

                async def hear_environments() -> None:
                    async for change in environments:
                        if change.value is not None:  # a deleted one has no functions
                            self._suffix(change.value)

                async def hear_functions() -> None:
                    async for change in functions:
                        self._put(change.key, change.value, change.revision)

                all_of_it.create_task(hear_names())
                all_of_it.create_task(hear_environments())
                all_of_it.create_task(hear_functions())

    def learn(self, records: Iterable[FunctionRecord], workspace: str) -> list[Endpoint]:
        """Take in what this gateway has just written, ahead of the registry's word; its endpoints."""
        made = []
        for record in records:
            self._names.setdefault(record.workspace, workspace)
            _, revision = self._functions.get(record.function_id, (record, 0))
            newest = max((each for _, each in self._functions.values()), default=0)
            self._put(record.function_id, record, max(revision, newest))
            made += endpoints_of(record, workspace, self._suffix_of(record), revision)
        return made

    def rivals(
        self, records: Sequence[FunctionRecord], workspace: str
    ) -> tuple[list[Endpoint], list[Endpoint]]:
        """The endpoints these functions are to have, and those of all deployed apps but theirs. An
        app that only runs claims nothing: of two, the newer has an address."""

        def made(record: FunctionRecord, name: str) -> list[Endpoint]:
            return endpoints_of(record, name, self._suffix_of(record), 0)

        apps = {record.app_id for record in records}
        wanted = [endpoint for record in records for endpoint in made(record, workspace)]
        others: list[Endpoint] = []
        for record, _ in self._functions.values():
            name = self._names.get(record.workspace)
            if name is not None and is_deployed(record) and record.app_id not in apps:
                others += made(record, name)
        return wanted, others

    def _put(self, function_id: str, record: FunctionRecord | None, revision: int) -> None:
        if record is None:
            self._functions.pop(function_id, None)
            self._directory.remove(function_id)
            return
        self._functions[function_id] = record, revision
        name = self._names.get(record.workspace)
        if name is not None:
            made = endpoints_of(record, name, self._suffix_of(record), revision)
            self._directory.put(function_id, made)

    def _suffix_of(self, record: FunctionRecord) -> str:
        """One whose environment was never made by hand goes by its name."""
        named = "" if record.environment == DEFAULT else record.environment
        return self._suffixes.get((record.workspace, record.environment), named)

    def _suffix(self, environment: EnvironmentRecord) -> None:
        """An environment has come, or is addressed otherwise."""
        where = environment.workspace, environment.name
        self._suffixes[where] = environment.web_suffix
        self._again(lambda record: (record.workspace, record.environment) == where)

    def _again(self, concerned: Callable[[FunctionRecord], bool]) -> None:
        for function_id, (record, revision) in list(self._functions.items()):
            if concerned(record):
                self._put(function_id, record, revision)

    def _name(self, account: str, workspace: WorkspaceRecord | None) -> None:
        """A workspace has come, or gone, or got another name."""
        if workspace is None:
            self._names.pop(account, None)
            return
        self._names[account] = workspace.name
        self._again(lambda record: record.workspace == account)


def is_deployed(record: FunctionRecord) -> bool:
    """Whether it is of a deployed app, and of none that only runs, attended or not."""
    owner = Owner(workspace=record.workspace, environment=record.environment, name=record.app_name)
    return record.app_id == deployed_app_id(owner)
