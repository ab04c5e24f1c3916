"""What the gateway decides about sandboxes: what it refuses, how one has ended, what is told of it. Pure."""

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from squall_contracts.placement import ENDED, ContainerRecord
from squall_contracts.sandbox_spec import MAX_ARGUMENT_BYTES, Probe, SandboxSpec
from squall_contracts.sandboxes import (
    KILLED,
    TIMED_OUT,
    CreateSandbox,
    Ended,
    SandboxInfo,
    SandboxName,
    SandboxRecord,
    container_of,
)

from squall_gateway.validation import InvalidFieldError

MAX_TAGS: Final = 64
CLAIM_S: Final = 60.0
"""A name claimed so long ago for a sandbox that isn't there is free."""
_NAME: Final = re.compile(r"[A-Za-z0-9\-_.]{1,64}")
_TAG: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")


def check(request: CreateSandbox) -> None:
    """InvalidFieldError unless a sandbox could be made so; the function's part is checked apart."""
    spec, sandbox = request.spec, request.spec.sandbox
    if sandbox is None:
        raise InvalidFieldError("spec: it describes no sandbox")
    if request.name and not _NAME.fullmatch(request.name):
        raise InvalidFieldError(
            f"name: {request.name!r} can't name a sandbox: use 1 to 64 letters, digits, '-', '_' or '.'"
        )
    check_tags(request.tags)
    if spec.schedule is not None or spec.web is not None or spec.methods or spec.memory_snapshot:
        raise InvalidFieldError("spec: a sandbox is not called: it has no schedule, web or methods")
    if spec.block_network and (sandbox.ports or spec.outbound_cidrs is not None):
        raise InvalidFieldError(
            "block_network: a sandbox without network has no ports and no allowlist"
        )
    for problem in (*_argv("args", sandbox.argv), *_places(sandbox)):
        raise InvalidFieldError(problem)


def check_argv(field: str, argv: tuple[str, ...]) -> None:
    """InvalidFieldError unless it could be run."""
    for problem in _argv(field, argv):
        raise InvalidFieldError(problem)


def check_tags(tags: Mapping[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise InvalidFieldError(f"tags: at most {MAX_TAGS}, not {len(tags)}")
    for part in (*tags.keys(), *tags.values()):
        if not _TAG.fullmatch(part):
            raise InvalidFieldError(
                f"tags: {part!r} must be 1 to 63 letters, digits, '.', '_' and '-'"
            )


def _argv(field: str, argv: Iterable[str]) -> Iterable[str]:
    size = sum(len(each.encode()) for each in argv)
    if size > MAX_ARGUMENT_BYTES:
        yield f"{field}: {size} bytes in all, more than {MAX_ARGUMENT_BYTES}"
    if any("\0" in each for each in argv):
        yield f"{field}: none may hold a zero byte"


def _places(sandbox: SandboxSpec) -> Iterable[str]:
    if sandbox.workdir and (not sandbox.workdir.startswith("/") or "\0" in sandbox.workdir):
        yield f"workdir: {sandbox.workdir!r} must be an absolute path"
    if len(set(sandbox.ports)) < len(sandbox.ports):
        yield "ports: one is given twice"
    for network in sandbox.inbound_cidrs or ():
        try:
            ip_network(network)
        except ValueError as error:
            yield f"inbound_cidrs: {error}"
    if sandbox.probe is not None:
        yield from _probe(sandbox.probe)


def _probe(probe: Probe) -> Iterable[str]:
    if (probe.port is None) == (not probe.argv):
        yield "probe: give a port or a command"
    yield from _argv("probe", probe.argv)


def is_free(claim: SandboxName, holder: SandboxRecord | None, now_unix_s: float) -> bool:
    """Whether somebody else may take a name."""
    if holder is None:
        return now_unix_s - claim.claimed_unix_s > CLAIM_S
    return holder.ended is not None


def end_of(container: ContainerRecord) -> Ended | None:
    """How a sandbox has ended, by its container; None: it hasn't."""
    if container.state not in ENDED:
        return None
    at_unix_s = container.since_unix_s.get(container.state, 0.0)
    reason, code = container.reason, container.exit_code
    match container.ending:
        case "exited":
            found = Ended(
                outcome="exited", returncode=code or 0, reason=reason, at_unix_s=at_unix_s
            )
        case "timeout":
            found = Ended(
                outcome="timeout", returncode=TIMED_OUT, reason=reason, at_unix_s=at_unix_s
            )
        case "idle":
            found = Ended(outcome="idle", returncode=KILLED, reason=reason, at_unix_s=at_unix_s)
        case _:
            began = container.state == "stopped" or "starting" in container.since_unix_s
            found = Ended(
                outcome="terminated" if began else "failed",
                returncode=KILLED,
                reason=reason,
                at_unix_s=at_unix_s,
            )
    return found


def info(record: SandboxRecord, container: ContainerRecord | None) -> SandboxInfo:
    """What clients are told of it."""
    ended = record.ended or (end_of(container) if container is not None else None)
    sandbox = record.spec.sandbox
    state = container.state if container is not None else "requested"
    if ended is not None and state not in ENDED:
        state = "stopped"
    return SandboxInfo(
        sandbox_id=record.sandbox_id,
        container_id=container_of(record.sandbox_id),
        app_id=record.app_id,
        app_name=record.app_name,
        environment=record.environment,
        name=record.name,
        tags=record.tags,
        created_unix_s=record.created_unix_s,
        state=state,
        waits_for=container.waits_for if container is not None else "",
        ended=ended,
        has_probe=sandbox is not None and sandbox.probe is not None,
    )


def is_listed(
    record: SandboxRecord,
    *,
    app_id: str,
    environment: str,
    tags: Mapping[str, str],
    include_ended: bool,
) -> bool:
    return (
        (include_ended or (record.ended is None and not record.end_reason))
        and app_id in {"", record.app_id}
        and environment in {"", record.environment}
        and tags.items() <= record.tags.items()
    )
