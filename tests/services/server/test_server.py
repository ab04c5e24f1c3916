"""The one-machine server as a process: how it starts, what it says, what it leaves behind."""

import asyncio
import json
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil
from squall_bus.access.accounts import write_credentials
from squall_bus.access.keyring import Keyring
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.errors import BusError, BusRefused
from squall_contracts import apps, subjects, verbs

from tests.services.server.conftest import Servers

DEPLOY = apps.DeployApp(environment="main", name="empty", functions=())


async def ask(bus: Bus, verb: verbs.Verb, request: object) -> Any:
    return await bus.request(subjects.up_api(verb.name), request, verb.reply)


async def test_ready_server_answers_and_says_what_it_is(servers: Servers) -> None:
    server = servers.start().ready()
    announced = json.loads((servers.state / "server.json").read_text())
    assert announced == server.told
    assert server.told["pid"] == server.process.pid
    async with await server.client() as bus:
        told = await ask(bus, verbs.SERVER_INFO, apps.ServerInfo())
    assert (told.workspace, told.runtimes) == ("main", ("process",))


def test_stopped_server_leaves_no_process_and_no_announcement(servers: Servers) -> None:
    server = servers.start().ready()
    assert stat.S_IMODE(Path(server.told["credentials"]).stat().st_mode) == 0o600
    nats = server.nats
    assert server.stop() == 0
    assert not nats.is_running()
    assert not (servers.state / "server.json").exists()


def test_killed_server_takes_its_nats_along(servers: Servers) -> None:
    server = servers.start().ready()
    nats = server.nats
    server.process.kill()
    nats.wait(5)
    assert servers.start().ready().stop() == 0


async def test_server_started_again_knows_what_was_deployed(servers: Servers) -> None:
    first = servers.start().ready()
    async with await first.client() as bus:
        deployed = await ask(bus, verbs.DEPLOY_APP, DEPLOY)
    first.stop()
    again = servers.start().ready()
    async with await again.client() as bus:
        history = await ask(
            bus, verbs.APP_HISTORY, apps.AppHistory(environment="main", name="empty")
        )
    assert [app.app_id for app in history.versions] == [deployed.app_id]
    assert again.told["credentials"] == first.told["credentials"]


async def test_killed_nats_is_started_again_where_it_was(servers: Servers) -> None:
    server = servers.start().ready()
    async with await server.client() as bus:
        deployed = await ask(bus, verbs.DEPLOY_APP, DEPLOY)
        back = asyncio.Event()

        async def returned() -> None:
            back.set()

        bus.on_reconnect(returned)
        killed = server.nats
        killed.kill()
        await asyncio.wait_for(back.wait(), 30)
        async with asyncio.timeout(30):
            while True:
                try:
                    again = await ask(bus, verbs.DEPLOY_APP, DEPLOY)
                    break
                except BusError:
                    await asyncio.sleep(0.05)
    assert (again.app_id, again.changed) == (deployed.app_id, False)
    assert server.nats.pid != killed.pid
    assert server.stop() == 0


async def test_nobody_gets_in_without_credentials_of_this_server(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.start().ready()
    stranger = Keyring(tmp_path / "other-keys").client("main")
    write_credentials(tmp_path / "x.creds", stranger)
    try:
        await connect([server.told["url"]], stranger, name="t", inbox="_INBOX_x")
    except BusRefused as refused:
        assert "\n" not in str(refused)
    else:
        raise AssertionError("a stranger was let in")


def test_second_server_on_the_same_state_is_refused_and_names_the_first(
    servers: Servers,
) -> None:
    first = servers.start().ready()
    code, error = servers.start().refused()
    assert code == 2
    assert str(first.process.pid) in error and "in use" in error
    assert first.process.poll() is None


def test_port_in_use_is_one_line_and_exit_code_2(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, error = servers.start("--port", str(port)).refused()
    assert code == 2
    assert f"port {port} is in use" in error


def test_chosen_port_is_used(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = servers.start("--port", str(port)).ready()
    assert server.told["url"] == f"nats://127.0.0.1:{port}"


def test_state_that_can_not_be_a_directory_is_one_line(servers: Servers, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, error = servers.start(state=tmp_path / "file" / "state").refused()
    assert code == 2
    assert "can't use the state directory" in error and "--state" in error


def test_unknown_setting_of_a_service_is_named(servers: Servers) -> None:
    code, error = servers.start(SQUALL_SCHEDULER_COLOUR="blue").refused()
    assert code == 2
    assert "SQUALL_SCHEDULER_COLOUR" in error


def test_docker_that_does_not_answer_is_an_error_only_when_asked_for(
    servers: Servers, tmp_path: Path
) -> None:
    nowhere = f"unix://{tmp_path}/no.sock"
    code, error = servers.start("--runtime", "docker", DOCKER_HOST=nowhere).refused()
    assert code == 2 and "Docker" in error
    server = servers.start("--runtime", "auto", DOCKER_HOST=nowhere).ready()
    assert server.told["runtime"] == "process"
    assert "Docker" in server.told["reason"]


def test_ephemeral_servers_run_side_by_side_and_leave_only_keys_and_caches(
    servers: Servers,
) -> None:
    running = [servers.start("--ephemeral") for _ in range(2)]
    assert len({server.ready().told["credentials"] for server in running}) == 2
    assert not (servers.state / "server.json").exists()
    assert {server.stop() for server in running} == {0}
    assert list((servers.state / "runs").iterdir()) == []
    assert {path.name for path in servers.state.iterdir()} == {"cache", "keys", "runs"}


def test_next_server_removes_what_a_killed_ephemeral_one_left(servers: Servers) -> None:
    killed = servers.start("--ephemeral").ready()
    nats = killed.nats
    killed.process.kill()
    nats.wait(5)
    assert Path(killed.told["state"]).exists()
    servers.start("--ephemeral").ready().stop()
    assert not Path(killed.told["state"]).exists()


def test_server_ends_with_its_parent(servers: Servers) -> None:
    program = textwrap.dedent(
        """
        import subprocess, sys
        process = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
        print(process.stdout.readline().decode(), flush=True)
        sys.stdin.read()
        """
    )
    command = [sys.executable, "-P", "-m", "squall_server", "--state", str(servers.state)]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *command, "--runtime", "process", "--until-parent-exits"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    told = json.loads(parent.stdout.readline())
    server = psutil.Process(told["pid"])
    family = [server, *server.children(recursive=True)]
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert not (servers.state / "server.json").exists()


def test_second_signal_kills(servers: Servers) -> None:
    server = servers.start().ready()
    nats = server.nats
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    nats.wait(10)
