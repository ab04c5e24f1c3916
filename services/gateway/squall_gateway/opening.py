"""Secrets for a container that is being started: sealed anew to the runner that starts it.

A runner holds no key of the platform's, and gets the values of one function for one start.
"""

import structlog
from squall_bus.errors import SquallRefusal
from squall_bus.service import Context
from squall_contracts import secrets, subjects
from squall_contracts.functions import FunctionRecord, FunctionSpec
from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.sandboxes import function_of, is_sandbox

from squall_gateway.registry import Registry
from squall_gateway.resealing import Resealing, resealed
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

        what = f"function {spec.name!r}: variable"
        by_path = {
            path: resealed(keys, account, what, variables, request.public_key)
            for path, variables in found.items()
        }
        own = by_path.pop("")
        log.info(
            "secrets.resealed", container_id=request.container_id, runner_id=container.runner_id
        )
        return secrets.ResealedSecrets(variables=own, buckets=by_path)

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
        return resealed(keys, account, "exec: variable", found[""], public_key)

    async def _function(self, container: ContainerRecord) -> FunctionRecord | None:
        if is_sandbox(container.function_id):
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


def _may_open(record: ContainerRecord) -> bool:
    if is_sandbox(record.function_id):
        return record.state not in ENDED
    return record.state == "placed"
