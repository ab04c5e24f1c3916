"""Guests that run the user's imports and snap hooks before their assignment comes."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from squall import _pickling
from squall_contracts.functions import MethodSpec
from squall_contracts.guest import (
    EXIT_STARTUP,
    TEMPLATE_VARIABLE,
    Assignment,
    Credentials,
    Template,
)
from squall_contracts.message import encode

from tests.guest.rig import FUNCTIONS, Function, Guest, Rig

TELL = (MethodSpec(name="tell", is_async=True),)


class Place:
    """Where a guest prepares itself."""

    def __init__(
        self,
        rig: Rig,
        folder: Path,
        function: Function,
        code: bytes | None,
        secrets: dict[str, str],
    ) -> None:
        for name in ("files/root", "root/root"):
            (folder / name).mkdir(parents=True)
        (folder / "files" / "root" / "functions.py").write_bytes(FUNCTIONS.read_bytes())
        self.folder = folder
        self.pipe = folder / "pipe"
        self.failure = folder / "failure"
        self.assignment: Assignment = rig.assignment(function, folder, ahead=True)
        nobody = Credentials(jwt="", seed="")
        blank: dict[str, Any] = {"container_id": "snap-1", "servers": (), "guest": nobody}
        blank["secrets"] = secrets
        given = msgspec.structs.replace(self.assignment, client=nobody, **blank)
        template = Template(assignment=given, code=code, failure_path=str(self.failure))
        (folder / "template").write_bytes(encode(template))
        os.mkfifo(self.pipe)


@pytest.fixture
def place(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Any":
    """`place(function, code=None, **secrets)`: a prepared folder, and the guest at work in it."""

    def make(function: Function, code: bytes | None = None, **secrets: str) -> tuple[Place, Guest]:
        made = Place(rig, tmp_path / "snapshot", function, code, secrets)
        monkeypatch.setenv(TEMPLATE_VARIABLE, str(made.folder / "template"))
        return made, rig.start(made.assignment, made.folder, made.pipe)

    return make


async def assign(place: Place) -> None:
    """Returns once the guest has come to its pipe, and has read."""
    await asyncio.to_thread(place.pipe.write_bytes, encode(place.assignment))


async def test_hooks_see_the_snapshot_then_the_container_on_one_loop(rig: Rig, place: Any) -> None:
    function = await rig.function("Ahead", methods=TELL, memory_snapshot=True)
    at, guest = place(function)
    await assign(at)
    report = await guest.report("ready")
    assert list(report.phases_ms) == ["enter", "connect"]
    story, same_loop = await (await function.call_method("tell")).value()
    assert story == ["snap-1", at.assignment.container_id]
    assert same_loop


async def test_a_serialized_function_is_unpickled_ahead(rig: Rig, place: Any) -> None:
    import hashlib

    code = _pickling.dumps(len)
    digest = hashlib.sha256(code).hexdigest()
    function = await rig.function("f", serialized=digest, files=(), memory_snapshot=True)
    at, guest = place(function, code)
    await assign(at)
    assert list((await guest.report("ready")).phases_ms) == ["connect"]
    assert await (await function.call("four")).value() == 4


async def test_a_hook_that_needs_the_server_is_told_so(rig: Rig, place: Any) -> None:
    function = await rig.function("Calling", methods=TELL, memory_snapshot=True)
    at, guest = place(function)
    assert await guest.exit_code() == EXIT_STARTUP
    said = at.failure.read_text()
    assert said.startswith("SnapshotCreationError: a snapshot is made without a connection")
    assert len(said.splitlines()) == 1
    assert "functions.py" in guest.output()


async def test_a_hook_that_quotes_a_secret_is_not_quoted(rig: Rig, place: Any) -> None:
    function = await rig.function("Quoting", methods=TELL, memory_snapshot=True)
    at, guest = place(function, PASSWORD="swordfish")
    assert await guest.exit_code() == EXIT_STARTUP
    assert at.failure.read_text() == "LookupError"
    assert "LookupError" in guest.output()
    assert "swordfish" not in guest.output()
