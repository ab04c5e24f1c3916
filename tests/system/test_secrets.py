"""Scenario 5, secrets: they are in the environment of their functions, and nowhere else."""

import base64
import errno
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import squall
from squall.exception import NotFoundError

from tests.system.conftest import Program, Server

OWN = [f"VAULT_OWN_{number}" for number in range(25)]
STORED = [f"VAULT_STORED_{number}" for number in range(25)]
CANARY = "not-a-secret-but-a-canary"


def fresh(names: list[str]) -> dict[str, str]:
    """Values that are nowhere yet."""
    return {name: f"value-{os.urandom(12).hex()}" for name in names}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digests(values: dict[str, str]) -> dict[str, str]:
    return {name: digest(value) for name, value in values.items()}


class Vault:
    """The program with its secrets: those it takes from the environment, and the stored one."""

    def __init__(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        self.own, self.stored = fresh(OWN), fresh(STORED)
        self._program = program
        self._monkeypatch = monkeypatch
        squall.Secret.objects.create("vault", self.stored, overwrite=True)

    def run(self) -> ModuleType:
        """Started with the variables set, which are not for longer: children would have them."""
        with self._monkeypatch.context() as patched:
            for name, value in self.own.items():
                patched.setenv(name, value)
            return self._program("vault")


@pytest.fixture
def vault(program: Program, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    yield Vault(program, monkeypatch)
    squall.Secret.objects.delete("vault", allow_missing=True)


def test_fifty_values_are_in_their_functions_and_nowhere_else(
    server: Server, vault: Vault, capfd: pytest.CaptureFixture[str]
) -> None:
    module = vault.run()
    assert module.digests.remote() == digests({**vault.own, **vault.stored})
    with pytest.raises(ValueError, match="VAULT_STORED_0") as caught:
        module.fail.remote()
    replaced = fresh(STORED)
    squall.Secret.objects.create("vault", replaced, overwrite=True)
    assert module.digests.remote() == digests({**vault.own, **replaced})
    told = [str(squall.Secret.objects.list()), str(caught.value), *capfd.readouterr()]
    values = [*vault.own.values(), *vault.stored.values(), *replaced.values()]
    needles = [form for value in values for form in (value.encode(), base64_of(value))]
    found = [
        (place, needle)
        for place, content in [("told", "".join(told).encode()), *everything(server)]
        for needle in needles
        if needle in content
    ]
    assert not found


def test_secrets_of_an_image_reach_its_steps_and_stay_nowhere(
    server: Server,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    values = fresh(["BUILD_OWN", "BUILD_STORED"])
    stored = {"BUILD_STORED": values["BUILD_STORED"]}
    with pytest.raises(NotFoundError, match="there is no secret 'build-vault'"):
        sealed_image(program, monkeypatch, values["BUILD_OWN"])
    squall.Secret.objects.create("build-vault", stored, overwrite=True)
    module = sealed_image(program, monkeypatch, values["BUILD_OWN"])
    assert module.look.remote() == ([digest(value) for value in values.values()], [])
    squall.Secret.objects.delete("build-vault")
    told = "".join(capfd.readouterr()).encode()
    places = [("told", told), *everything(server), *images_of(server)]
    needles = [form for value in values.values() for form in (value.encode(), base64_of(value))]
    assert not [place for place, content in places if any(each in content for each in needles)]


def sealed_image(program: Program, monkeypatch: pytest.MonkeyPatch, own: str) -> ModuleType:
    with monkeypatch.context() as patched:
        patched.setenv("BUILD_OWN", own)
        return program("sealed_image")


def images_of(server: Server) -> Iterator[tuple[str, bytes]]:
    """What the engine tells of the images, and their history."""
    if server.runtime == "docker":
        ids = _docker("images", "-aq", "--no-trunc", "--filter", "label=squall.workspace").split()
        ids = list(dict.fromkeys(ids))[:20]  # the newest first
        for image in ids:
            yield "docker history", _docker("history", "--no-trunc", image).encode()
        yield "docker image inspect", _docker("image", "inspect", *ids).encode()


def base64_of(value: str) -> bytes:
    return base64.b64encode(value.encode()).rstrip(b"=")


def test_the_search_finds_what_is_there(server: Server, vault: Vault) -> None:
    vault.run().digests.remote()
    places = [place for place, content in everything(server) if CANARY.encode() in content]
    assert any("jetstream" in place for place in places)
    assert any("environ" in place for place in places)
    assert server.runtime == "process" or "docker inspect" in places


def content(path: Path) -> bytes:
    """Of a file; of what is none or went meanwhile, like a bucket whose container ended, nothing."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTCONN}:
            raise
        return b""


def everything(server: Server) -> Iterator[tuple[str, bytes]]:
    """Files of the server, its streams and containers; processes; what the engine tells."""
    for folder, _, names in os.walk(server.state):
        for name in names:
            path = Path(folder, name)
            yield str(path), content(path)
    for process in psutil.process_iter():
        for kind in ("cmdline", "environ"):
            try:
                yield f"{kind} of {process.pid}", Path(f"/proc/{process.pid}/{kind}").read_bytes()
            except OSError:
                continue
    if server.runtime == "docker":
        ids = _docker("ps", "-aq", "--no-trunc").split()
        for line in json.loads(_docker("inspect", *ids) or "[]"):
            yield "docker inspect", json.dumps(line).encode()


def _docker(*argv: str) -> str:
    """Containers may go while they are listed: what is left of them is told all the same."""
    done = subprocess.run(
        ["docker", *argv], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout


def test_a_changed_secret_meets_the_next_call_and_later_ones_win(vault: Vault) -> None:
    module = vault.run()
    assert module.order.remote() == ["app", "first", "second", "env"]
    keeper = module.Keeper()
    assert keeper.first.remote() == digest(vault.stored["VAULT_STORED_0"])
    secret = squall.Secret.from_name("vault")
    for number in range(3):
        secret.update({"VAULT_STORED_0": f"change {number}", "VAULT_STORED_1": None})
        assert keeper.first.remote() == digest(f"change {number}")
    assert set(secret.info().keys) == set(STORED)


def test_a_secret_that_lacks_a_key_stops_the_app_before_it_starts(vault: Vault) -> None:
    squall.Secret.objects.create("vault", {"OTHER": "x"}, overwrite=True)
    with pytest.raises(NotFoundError, match="has no variable VAULT_STORED_0; it has: OTHER"):
        vault.run()


def test_environments_keep_secrets_and_apps_apart(vault: Vault) -> None:
    module = vault.run()
    squall.Environment.objects.create("staging", allow_existing=True)
    other = fresh(STORED)
    squall.Secret.objects.create("vault", other, environment_name="staging", overwrite=True)
    assert module.Keeper().first.remote() == digest(vault.stored["VAULT_STORED_0"])
    squall.runner.deploy_app(module.app, name="apart", environment_name="staging")
    there = squall.Cls.from_name("apart", "Keeper", environment_name="staging")
    assert there().first.remote() == digest(other["VAULT_STORED_0"])
    with pytest.raises(NotFoundError, match="'main'"):
        squall.Cls.from_name("apart", "Keeper")().first.remote()
    squall.Environment.objects.delete("staging")
    with pytest.raises(NotFoundError, match="there are: main"):
        squall.Secret.from_name("vault", environment_name="staging").info()
    with pytest.raises(NotFoundError, match="there are: main"):
        squall.Cls.from_name("apart", "Keeper", environment_name="staging")().first.remote()
