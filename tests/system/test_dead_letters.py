"""Scenario 8 (b) whole: one dead letter for an input that fails for good, and its replay; and a
function whose containers can't start."""

import asyncio
import json
import os
import subprocess
import sys
import uuid

import pytest
import squall
from squall import _client, _sync
from squall_contracts.apps import ListContainers

from tests.system.conftest import Program, Server


def containers(app: squall.App) -> set[str]:
    """All there were of the app's, by id."""

    async def ask() -> set[str]:
        client = await _client.connected()
        listed = await client.control(ListContainers(app_id=app.app_id, all=True))
        return {record.container_id for record in listed.containers}

    return _sync.run(ask())


def command(server: Server, *argv: str) -> str:
    """What a `squall` command printed on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "squall.cli", *argv],
        env={
            **os.environ,
            "SQUALL_SERVER_URL": server.ready["url"],
            "SQUALL_CREDENTIALS": server.ready["credentials"],
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def key() -> str:
    return uuid.uuid4().hex


def test_an_input_that_always_fails_leaves_one_letter_and_runs_again_when_retried(
    program: Program,
) -> None:
    module = program("faults")
    with pytest.raises(Exception, match="custom failure 4"):
        module.never.remote(key())
    (letter,) = module.app.dead_letters
    assert letter.function_name == "never"
    assert letter.app_name == "faults"
    assert letter.attempts == 4
    assert "custom failure 4" in letter.error
    assert "faults.py" in letter.traceback
    again = letter.retry()
    assert not [each for each in module.app.dead_letters if each.letter_id == letter.letter_id]
    with pytest.raises(Exception, match="custom failure 8"):
        again.get(timeout=60)
    (second,) = module.app.dead_letters
    assert second.call_id == again.object_id
    assert module.app.dead_letters.purge() == 1
    assert not list(module.app.dead_letters)


def test_large_arguments_outlive_their_call_in_the_letter(program: Program) -> None:
    module = program("faults")
    data = uuid.uuid4().bytes * 60_000
    with pytest.raises(Exception, match="not of this size"):
        module.refuses_sizes.remote(data)
    (letter,) = module.app.dead_letters.of("refuses_sizes")
    assert not isinstance(letter.entry.payload, bytes)
    again = letter.retry()
    with pytest.raises(Exception, match=f"not of this size: {len(data)}"):
        again.get(timeout=60)


def test_a_spawned_input_leaves_a_letter_and_a_plain_or_cancelled_one_none(
    program: Program,
) -> None:
    module = program("faults")
    with pytest.raises(squall.exception.RemoteError, match="SystemExit"):
        module.exits.remote()
    call = module.naps.spawn(60)
    call.cancel()
    spawned = module.exits.spawn()
    with pytest.raises(squall.exception.RemoteError, match="SystemExit"):
        spawned.get(timeout=60)

    async def callers() -> list[str]:
        return [each.call_id async for each in module.app.dead_letters]

    assert asyncio.run(callers()) == [spawned.object_id]


def test_an_input_its_containers_died_of_leaves_a_letter(program: Program) -> None:
    module = program("faults")
    with pytest.raises(squall.exception.Error, match=r"(?i)killed|exit code|signal"):
        module.always_dies.remote()
    (letter,) = module.app.dead_letters
    assert letter.function_name == "always_dies"
    assert letter.deaths == 8
    assert letter.entry.failure.kind == "container_lost"


def test_a_function_that_cannot_be_imported_answers_its_second_call_without_a_container(
    program: Program,
) -> None:
    module = program("broken_import")
    with pytest.raises(RuntimeError, match="the model file is missing"):
        module.predicts.remote()
    tried = containers(module.app)
    with pytest.raises(RuntimeError, match="the model file is missing"):
        module.predicts.remote()
    assert containers(module.app) == tried


def test_commands_list_show_retry_and_purge_letters(server: Server, program: Program) -> None:
    module = program("faults")
    with pytest.raises(Exception, match="custom failure 4"):
        module.never.remote(key())
    # Letters stay when their app is gone: other tests may have left some.
    listed = json.loads(command(server, "dead", "list", "--function", "never", "--json"))
    (letter,) = (each for each in listed if each["app_id"] == module.app.app_id)
    assert (letter["function_name"], letter["attempts"]) == ("never", 4)
    identifier = letter["letter_id"]
    assert "CustomError" in command(server, "dead", "show", identifier)
    command(server, "dead", "retry", identifier)
    # It runs again as another call, and leaves a letter of its own when it has failed again.
    left = json.loads(command(server, "dead", "list", "--app", module.app.app_id, "--json"))
    assert identifier not in {each["letter_id"] for each in left}
    command(server, "dead", "purge", "--all", "--app", "faults")


def test_a_given_up_function_is_shown_and_a_reset_has_it_tried_again(
    server: Server, program: Program
) -> None:
    module = program("broken_import")
    with pytest.raises(RuntimeError, match="the model file is missing"):
        module.predicts.remote()
    listed = command(server, "function", "list", "--app", module.app.app_id)
    assert "given up until" in listed
    assert "the model file is missing" in listed
    command(server, "function", "reset", f"{module.app.app_id}::predicts")
    with pytest.raises(RuntimeError, match="the model file is missing"):
        module.predicts.remote()
    tried = command(server, "container", "list", "--app", module.app.app_id, "--all", "--json")
    assert len(json.loads(tried)) >= 2
