"""Secrets on the runner: opened for one start, handed through a pipe, refused by name."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from squall_bus.access.sealing import KeyPair, new_pair, seal
from squall_contracts.placement import StartContainer
from squall_contracts.secrets import Sealed, SealingKey, SecretUse

from .machine import Machine, running_machine

RUNTIMES = ["process", pytest.param("docker", marks=pytest.mark.docker)]
SOURCE = """
import hashlib, os
print("read", hashlib.sha256(os.environ["PASSWORD"].encode()).hexdigest()[:8], flush=True)
print("initial", "swordfish".encode() in open("/proc/self/environ", "rb").read(), flush=True)
def f(): return 1
"""
VALUE = "swordfish"
READ = "read b9f195c5"


@pytest.fixture(params=RUNTIMES)
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with running_machine(request.param, tmp_path, warm_pool=1) as found:
        yield found


def sealed(machine: Machine, pair: KeyPair | None = None, value: str = VALUE) -> dict[str, Sealed]:
    """As a client does with the gateway's present key; `pair`: with another."""
    from squall_bus.access.sealing_keys import SealingKeys

    keys = SealingKeys(Path(machine.settings.state_dir).parent / "keys" / "sealing")
    account = machine.platform.account
    own = pair or keys.load(account).current
    key = SealingKey(key_id=own.key_id, public_key=own.public, account=account)
    return {"PASSWORD": seal(value, name="PASSWORD", key=key, mark_key=b"m" * 32)}


async def command(machine: Machine, source: str, *uses: SecretUse, **fields: Any) -> StartContainer:
    """A start of a function with secrets; the gateway takes them from what the registry knows."""
    return await machine.command(source, secrets=uses, **fields)


def on_disk(machine: Machine) -> list[str]:
    state = Path(machine.settings.state_dir).parent
    return [
        str(path)
        for path in state.rglob("*")
        if path.is_file() and VALUE.encode() in path.read_bytes() and path.name != "work.py"
    ]


async def test_value_reaches_user_code_and_no_file(machine: Machine) -> None:
    source = SOURCE.replace('"swordfish".encode()', 'b"".join((b"sword", b"fish"))')
    for _ in range(2):  # the second is given a warm container, if there is one yet
        start = await command(machine, source, SecretUse(variables=sealed(machine)))
        await machine.send(start)
        await machine.log.ready(start.container_id)
        await machine.log.until(
            lambda id=start.container_id: len(machine.log.text(id)) == 2  # type: ignore[misc]
        )
        assert machine.log.text(start.container_id) == [READ, "initial False"]
        assert not on_disk(machine)
        await machine.stop(start.container_id)
        await machine.log.ended(start.container_id)


async def test_container_that_never_reads_its_assignment_is_told_as_ended(
    machine: Machine,
) -> None:
    """The interpreter finds no library and ends before the guest begins."""
    uses = SecretUse(variables=sealed(machine))
    start = await command(machine, SOURCE, uses, env={"PYTHONHOME": "/nowhere"})
    await machine.send(start)
    ended = await machine.log.ended(start.container_id)
    assert ended.state == "failed"
    assert ended.exit_code == 1
    await machine.log.closed(start.container_id)


async def test_key_nobody_has_refuses_the_start_by_name(machine: Machine) -> None:
    uses = SecretUse(variables=sealed(machine, new_pair()))
    start = await command(machine, SOURCE, uses)
    await machine.send(start)
    ended = await machine.log.ended(start.container_id)
    assert ended.state == "failed"
    assert "variable PASSWORD: its sealing key sk-" in ended.reason
    assert "is not known here" in ended.reason
    assert VALUE not in ended.reason


async def test_missing_stored_secret_refuses_the_start_by_name(machine: Machine) -> None:
    start = await command(machine, SOURCE, SecretUse(name="gone"))
    await machine.send(start)
    ended = await machine.log.ended(start.container_id)
    assert "there is no secret 'gone' in environment 'main'" in ended.reason
