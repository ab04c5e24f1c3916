"""What the gateway has heard of the registry, for the pages. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from squall_bus.lease import Lease
from squall_contracts import state_subjects, subjects
from squall_contracts.breakers import FunctionFaults
from squall_contracts.collections import CollectionRecord
from squall_contracts.environments import DEFAULT, EnvironmentRecord
from squall_contracts.functions import AppRecord, FunctionRecord
from squall_contracts.identity import WorkspaceRecord
from squall_contracts.images import ImageRecord
from squall_contracts.placement import ContainerRecord, RunnerRecord
from squall_contracts.scaling import Target
from squall_contracts.schedules import Schedule
from squall_contracts.secrets import SecretRecord


class Bucket(NamedTuple):
    name: str
    kind: type[Any]


BUCKETS: Final = {
    "workspaces": Bucket(subjects.WORKSPACES_BUCKET, WorkspaceRecord),
    "environments": Bucket(state_subjects.ENVIRONMENTS_BUCKET, EnvironmentRecord),
    "apps": Bucket(subjects.APPS_BUCKET, AppRecord),
    "functions": Bucket(subjects.FUNCTIONS_BUCKET, FunctionRecord),
    "containers": Bucket(subjects.CONTAINERS_BUCKET, ContainerRecord),
    "targets": Bucket(subjects.TARGETS_BUCKET, Target),
    "runners": Bucket(subjects.RUNNERS_BUCKET, RunnerRecord),
    "schedules": Bucket(subjects.SCHEDULES_BUCKET, Schedule),
    "images": Bucket(subjects.IMAGES_BUCKET, ImageRecord),
    "collections": Bucket(state_subjects.COLLECTIONS_BUCKET, CollectionRecord),
    "secrets": Bucket(state_subjects.SECRETS_BUCKET, SecretRecord),
    "leases": Bucket(subjects.LEASES_BUCKET, Lease),
}


class SecretName(NamedTuple):
    """All that is kept of a secret: what is sealed in it is let go at once."""

    workspace: str
    environment: str
    name: str
    variables: tuple[str, ...]
    updated_unix_s: float


class Known:
    """All workspaces' entries by bucket and key. Ask for those of one through its methods."""

    def __init__(self) -> None:
        self.workspaces: dict[str, WorkspaceRecord] = {}
        self.environments: dict[str, EnvironmentRecord] = {}
        self.apps: dict[str, AppRecord] = {}
        self.functions: dict[str, FunctionRecord] = {}
        self.containers: dict[str, ContainerRecord] = {}
        self.targets: dict[str, Target] = {}
        self.runners: dict[str, RunnerRecord] = {}
        self.schedules: dict[str, Schedule] = {}
        self.images: dict[str, ImageRecord] = {}
        self.collections: dict[str, CollectionRecord] = {}
        self.secrets: dict[str, SecretName] = {}
        self.leases: dict[str, Lease] = {}
        self.faults: dict[str, dict[str, FunctionFaults]] = {}
        """By account and function id: those whose containers failed to start lately."""

    def put(self, table: str, key: str, value: Any) -> None:
        """An entry is this now; None: it is gone."""
        entries: dict[str, Any] = getattr(self, table)
        if value is None:
            entries.pop(key, None)
        elif isinstance(value, SecretRecord):
            self.secrets[key] = SecretName(
                value.workspace,
                value.environment,
                value.name,
                tuple(sorted(value.variables)),
                value.updated_unix_s,
            )
        elif table != "apps" or key.count(".") == 1:  # longer keys are an app's past versions
            entries[key] = value

    # --- one workspace ----------------------------------------------------------------------------

    def environments_of(self, account: str) -> list[str]:
        """Their names, the default one first."""
        named = {e.name for e in self.environments.values() if e.workspace == account}
        used = {app.environment for app in self.apps.values() if app.workspace == account}
        return [DEFAULT, *sorted((named | used) - {DEFAULT})]

    def apps_of(self, account: str, environment: str) -> list[AppRecord]:
        return _sorted(self.apps.values(), account, environment, lambda app: app.name)

    def functions_of(self, account: str, environment: str) -> list[FunctionRecord]:
        """Those declared, without pools of parameters or options."""
        found = [each for each in self.functions.values() if not each.bound_to]
        return _sorted(found, account, environment, lambda each: (each.app_name, each.spec.name))

    def function(self, account: str, environment: str, function_id: str) -> FunctionRecord | None:
        found = self.functions.get(function_id)
        return found if found is not None and _is_of(found, account, environment) else None

    def containers_of(self, account: str, environment: str) -> list[ContainerRecord]:
        """Live and lately ended ones, newest first."""
        found = [c for c in self.containers.values() if _is_of(c, account, environment)]
        return sorted(found, key=began_unix_s, reverse=True)

    def owner(self, function_id: str) -> str:
        """The declared function a pool is of; any other id stays what it is."""
        found = self.functions.get(function_id)
        return found.bound_to if found is not None and found.bound_to else function_id


def by_function(
    containers: Iterable[ContainerRecord], owner: Callable[[str], str]
) -> dict[str, list[ContainerRecord]]:
    """Containers by the declared function they belong to."""
    found: dict[str, list[ContainerRecord]] = defaultdict(list)
    for record in containers:
        found[owner(record.function_id)].append(record)
    return found


def began_unix_s(record: ContainerRecord) -> float:
    """When a container was first wanted."""
    return min(record.since_unix_s.values(), default=0.0)


def _is_of(record: Any, account: str, environment: str) -> bool:
    return bool(record.workspace == account and record.environment == environment)


def _sorted(
    records: Iterable[Any], account: str, environment: str, key: Callable[[Any], Any]
) -> list[Any]:
    return sorted((r for r in records if _is_of(r, account, environment)), key=key)
