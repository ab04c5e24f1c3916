"""The lifecycle of a service as a process of its own, and leases, on a real nats-server."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from squall_bus.access.accounts import write_credentials
from squall_bus.bus import Bus
from squall_bus.connection import connect
from squall_bus.layout import ensure_platform
from squall_bus.lease import Lease, lead
from squall_contracts import subjects

from tests.bus.natsd import NatsServer

PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    import msgspec
    from squall_bus.service import Service, main

    class Settings(msgspec.Struct, frozen=True, kw_only=True):
        drain_s: float = 20.0
        mode: str = "good"

    async def run(settings, context, *, task_status):
        async def echo(subject, request):
            await asyncio.sleep(0.3)
            return request
        await context.bus.respond("echo", str, echo)
        if settings.mode == "broken":
            raise ValueError("broken on purpose")
        task_status.started()
        if settings.mode == "fickle":
            return
        await context.stopping.wait()
        if settings.mode == "stuck":
            await asyncio.Event().wait()
        await asyncio.sleep(0.5)
        print("drained", flush=True)

    raise SystemExit(main(Service(name="probe", settings=Settings, run=run)))
    """
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    found = NatsServer(tmp_path)
    await found.start()
    yield found
    found.close()


class Probe:
    def __init__(self, server: NatsServer, folder: Path, **variables: str) -> None:
        credentials = folder / "probe.creds"
        write_credentials(credentials, server.user(server.keys.platform))
        self.ready_file = folder / "ready"
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={
                **os.environ,
                "SQUALL_NATS_URL": server.url,
                "SQUALL_CREDENTIALS": str(credentials),
                "SQUALL_READY_FILE": str(self.ready_file),
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def said(self, words: str) -> None:
        """Wait until its log says so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while words not in (line := await asyncio.to_thread(self.process.stderr.readline)):
                assert line, f"it ended with {self.process.wait()} without {words!r}"

    async def ended(self) -> tuple[int, str, str]:
        out, err = await asyncio.to_thread(self.process.communicate, None, 20)
        return self.process.returncode, out, err


async def test_sigterm_drains_and_ends_in_order(server: NatsServer, tmp_path: Path) -> None:
    probe = Probe(server, tmp_path)
    await probe.said("service.ready")
    assert probe.ready_file.read_text().strip() == str(probe.process.pid)
    probe.process.terminate()
    code, out, err = await probe.ended()
    assert (code, out) == (0, "drained\n"), err
    assert "service.stopped" in err
    assert not probe.ready_file.exists()


async def test_second_signal_kills(server: NatsServer, tmp_path: Path) -> None:
    probe = Probe(server, tmp_path, SQUALL_PROBE_MODE="stuck")
    await probe.said("service.ready")
    probe.process.terminate()
    await probe.said("service.stop_asked")
    probe.process.terminate()
    code, _, _ = await probe.ended()
    assert code == -signal.SIGTERM


async def test_drain_that_takes_too_long_is_cut(server: NatsServer, tmp_path: Path) -> None:
    probe = Probe(server, tmp_path, SQUALL_PROBE_MODE="stuck", SQUALL_PROBE_DRAIN_S="0.2")
    await probe.said("service.ready")
    probe.process.terminate()
    code, _, err = await probe.ended()
    assert code == 0
    assert "service.drain_cut" in err


@pytest.mark.parametrize(("mode", "words"), [("broken", "on purpose"), ("fickle", "not told to")])
async def test_failing_service_ends_its_process(
    server: NatsServer, tmp_path: Path, mode: str, words: str
) -> None:
    probe = Probe(server, tmp_path, SQUALL_PROBE_MODE=mode)
    code, _, err = await probe.ended()
    assert code == 1
    assert "service.failed" in err and words in err


async def test_wrong_environment_ends_with_one_line(server: NatsServer, tmp_path: Path) -> None:
    probe = Probe(server, tmp_path, SQUALL_PROBE_COLOUR="blue")
    code, _, err = await probe.ended()
    assert code == 2
    assert "SQUALL_PROBE_COLOUR" in err and err.count("\n") == 1


async def test_server_that_is_not_there_ends_with_one_line(
    server: NatsServer, tmp_path: Path
) -> None:
    server.stop()
    code, _, err = await Probe(server, tmp_path).ended()
    assert code == 1
    assert err.count("\n") == 1 and "is the server running" in err


@pytest.fixture
async def platform(server: NatsServer) -> AsyncIterator[Bus]:
    credentials = server.user(server.keys.platform)
    async with await connect([server.url], credentials, name="t", inbox=subjects.inbox("t")) as bus:
        await ensure_platform(bus)
        yield bus


class Replica:
    def __init__(self, bus: Bus, holder: str, ttl_s: float = 3.0) -> None:
        self.leads = asyncio.Event()
        self.lost = asyncio.Event()
        self.stopping = anyio.Event()
        self._task = asyncio.create_task(
            lead(bus, "test", holder, self._work, stopping=self.stopping, ttl_s=ttl_s)
        )

    async def _work(self) -> None:
        self.leads.set()
        try:
            await self.stopping.wait()
        except asyncio.CancelledError:
            self.lost.set()
            raise
        finally:
            self.leads.clear()

    async def stop(self) -> None:
        self.stopping.set()
        await self._task


async def test_one_of_two_leads_and_the_other_takes_over_at_once(platform: Bus) -> None:
    first = Replica(platform, "a", ttl_s=60.0)
    await asyncio.wait_for(first.leads.wait(), 30)
    second = Replica(platform, "b", ttl_s=60.0)
    await platform.wire.roundtrip()
    assert not second.leads.is_set()
    await first.stop()
    await asyncio.wait_for(second.leads.wait(), 30)  # half of what the lease would have lasted
    await second.stop()
    assert await platform.kv(subjects.LEASES_BUCKET, Lease).get("test") is None


async def test_lease_is_renewed_beyond_its_time(platform: Bus) -> None:
    replica = Replica(platform, "a", ttl_s=1.0)
    await asyncio.wait_for(replica.leads.wait(), 30)
    await asyncio.sleep(2.5)
    assert replica.leads.is_set()
    await replica.stop()


async def test_leader_whose_lease_is_taken_stops_working_and_competes_again(platform: Bus) -> None:
    replica = Replica(platform, "a", ttl_s=1.0)
    await asyncio.wait_for(replica.leads.wait(), 30)
    await platform.kv(subjects.LEASES_BUCKET, Lease).put("test", Lease(holder="thief"), ttl_s=1)
    await asyncio.wait_for(replica.lost.wait(), 30)
    await asyncio.wait_for(replica.leads.wait(), 30)
    await replica.stop()


async def test_replica_that_never_led_stops_at_once(platform: Bus) -> None:
    first = Replica(platform, "a")
    await asyncio.wait_for(first.leads.wait(), 30)
    second = Replica(platform, "b")
    await platform.wire.roundtrip()
    await asyncio.wait_for(second.stop(), 1)
    await first.stop()
