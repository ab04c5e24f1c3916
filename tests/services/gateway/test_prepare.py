"""A fleet from scratch: prepared files, a nats-server, and the gateway as a process of its own."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from squall_bus.access.accounts import owner_of, read_credentials
from squall_bus.connection import connect
from squall_contracts import apps, subjects, verbs
from squall_gateway.prepare import main

from tests.bus.natsd import BINARY
from tests.ports import free_port


def contents(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_preparing_again_changes_no_key_and_no_credentials(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    first = contents(tmp_path)
    assert main([str(tmp_path), "--workspace", "main", "--workspace", "research"]) == 0
    again = contents(tmp_path)
    assert {p: t for p, t in first.items() if p.suffix != ".conf"}.items() <= again.items()
    assert {path.name for path in again.keys() - first.keys()} == {
        "workspace-research.creds",
        "research.seed",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in again} == {0o600}


@pytest.mark.parametrize("name", ["Bad Name", "../up"])
def test_bad_workspace_name_is_one_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--workspace", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_servers_of_a_cluster_know_each_other_and_share_a_secret(tmp_path: Path) -> None:
    nodes = [word for host in "abc" for word in ("--node", f"{host}:6222")]
    assert main([str(tmp_path), *nodes]) == 0
    configs = [(tmp_path / f"nats-{number}.conf").read_text() for number in (1, 2, 3)]
    assert len({config.partition("\n")[0] for config in configs}) == 3
    secret = (tmp_path / "keys" / "cluster.secret").read_text().strip()
    for number, config in enumerate(configs, 1):
        assert all(f"nats-route://squall:{secret}@{host}:6222" in config for host in "abc")
        assert f'password: "{secret}"' in config
        checked = subprocess.run(
            [BINARY, "-t", "-c", str(tmp_path / f"nats-{number}.conf")],
            text=True,
            capture_output=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("node", ["nats1", "nats1:", ":6222", "nats1:port"])
def test_bad_address_of_a_server_is_one_line(
    tmp_path: Path, node: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--node", node]) == 2
    assert "--node" in capsys.readouterr().err


async def test_gateway_of_a_prepared_fleet_answers_its_workspace(tmp_path: Path) -> None:
    port = free_port()
    url = f"nats://127.0.0.1:{port}"
    folder = tmp_path / "fleet"
    assert main([str(folder), "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "d")]) == 0
    nats = await asyncio.create_subprocess_exec(
        BINARY, "-c", str(folder / "nats.conf"), stderr=subprocess.PIPE
    )
    assert nats.stderr is not None
    async for line in nats.stderr:
        if b"Server is ready" in line:
            break
    gateway = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "squall_gateway",
        env={
            **os.environ,
            "SQUALL_NATS_URLS": url,
            "SQUALL_CREDENTIALS": str(folder / "gateway.creds"),
            "SQUALL_GATEWAY_KEYS_DIR": str(folder / "keys"),
            "SQUALL_GATEWAY_WEB_PORTS": "0",
        },
        stderr=subprocess.PIPE,
    )
    try:
        assert gateway.stderr is not None
        async for line in gateway.stderr:
            if b"service.ready" in line:
                break
        credentials = read_credentials(folder / "workspace-main.creds")
        inbox = subjects.inbox(owner_of(credentials.jwt))
        async with await connect([url], credentials, name="test", inbox=inbox) as bus:
            told = await bus.request(
                subjects.up_api(verbs.SERVER_INFO.name), apps.ServerInfo(), apps.ServerDescription
            )
        assert told.workspace == "main"
        gateway.send_signal(signal.SIGTERM)
        assert await gateway.wait() == 0
    finally:
        for process in (gateway, nats):
            if process.returncode is None:
                process.kill()
            await process.wait()
