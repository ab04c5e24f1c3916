"""Secrets for a container that is being started: sealed anew to the runner that starts it.

A runner holds no key of the platform's, and gets the values of one function for one start.
"""

from collections.abc import Mapping

import structlog
from squall_bus.access.sealing_keys import WorkspaceKeys
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import secrets, subjects
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.sandboxes import PREFIX, function_of

from squall_gateway.registry import Registry
from squall_gateway.resealing import Resealing, rewrapped
from squall_gateway.sandboxes.book import Book
from squall_gateway.secrets import Secrets

log = structlog.get_logger()


class Opening:
    """Answers runners."""

    def __init__(
        self, context: Context, registry: Registry, own: Secrets, keys: Resealing, book: Book
    ) -> None:
        self._containers = context.bus.kv(subjects.CONTAINERS_BUCKET, ContainerRecord)
        self._registry = registry
        self._own = own
        self._keys = keys
        self._book = book

    async def open(self, subject: str, request: secrets.OpenSecrets) -> secrets.ResealedSecrets:
        """Which function it is, and what it may have, is read from the registry alone."""
        container = await self._starting(subjects.last(subject), request)
        function = await self._function(container)
        if function is None or function.workspace != container.workspace:
            raise SquallRefusal(
                "not_found", f"function {container.function_name!r} was stopped meanwhile"
            )
        if function.version != container.version:
            raise SquallRefusal("not_found", f"version {function.version} was deployed meanwhile")
        account = container.workspace
        spec = function.spec
        found = await self._own.variables(account, container.environment, spec)
        keys = await self._keys.load(account)

        def resealed(variables: Mapping[str, secrets.Sealed]) -> dict[str, secrets.Resealed]:
            what = f"function {spec.name!r}: variable"
            return _resealed(keys, account, what, variables, request.public_key)

        own = resealed(found.pop(""))
        log.info(
            "secrets.resealed", container_id=request.container_id, runner_id=container.runner_id
        )
        return secrets.ResealedSecrets(
            variables=own, buckets={path: resealed(each) for path, each in found.items()}
        )

    async def for_command(
        self,
        account: str,
        environment: str,
        uses: tuple[secrets.SecretUse, ...],
        public_key: bytes,
    ) -> dict[str, secrets.Resealed]:
        """The variables of these secrets, for a command that is about to be run by who has the key."""
        spec = FunctionSpec(name="exec", module="", qualname="", image_id="", secrets=uses)
        await self._own.check(account, environment, (spec,))
        found = await self._own.variables(account, environment, spec)
        keys = await self._keys.load(account)
        return _resealed(keys, account, "exec: variable", found[""], public_key)

    async def _function(self, container: ContainerRecord) -> FunctionRecord | None:
        if container.function_id.startswith(PREFIX):
            sandbox = await self._book.get(container.workspace, container.function_id)
            return None if sandbox is None else function_of(sandbox)
        entry = await self._registry.functions.get(container.function_id)
        return None if entry is None else entry.value

    async def _starting(self, runner_id: str, request: secrets.OpenSecrets) -> ContainerRecord:
        try:
            entry = await self._containers.get(request.container_id)
        except ValueError as error:
            raise SquallRefusal("invalid", f"container_id: {error}") from error
        record = None if entry is None else entry.value
        # Commands run in sandboxes have their variables too, and runners forget them when they restart.
        if record is None or record.runner_id != runner_id or not _may_open(record):
            raise SquallRefusal(
                "denied",
                f"container {request.container_id} is not about to be started by {runner_id}",
            )
        return record


def _resealed(
    keys: WorkspaceKeys,
    account: str,
    what: str,
    variables: Mapping[str, secrets.Sealed],
    public_key: bytes,
) -> dict[str, secrets.Resealed]:
    return {
        name: secrets.Resealed(
            wrapped=rewrapped(keys, account, f"{what} {name}", each, public_key), box=each.box
        )
        for name, each in variables.items()
    }


def _may_open(record: ContainerRecord) -> bool:
    if record.function_id.startswith(PREFIX):
        return record.state not in ENDED
    return record.state == "placed"
