"""Queue backends, each with a server that speaks as the real one does."""

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakeredis import TcpFakeServer
from moto.server import ThreadedMotoServer
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from squall.serving import BackendError, QueueBackend, create_backend, register_backend
from squall.serving.queues.memory import InMemoryBackend
from squall.serving.queues.taskiq import TaskiqBackend
from taskiq import InMemoryBroker

from ...bus.natsd import BINARY
from ...ports import free_port


@contextlib.asynccontextmanager
async def closing(backend: QueueBackend) -> AsyncIterator[QueueBackend]:
    try:
        yield backend
    finally:
        close = getattr(backend, "close", None)
        if close is not None:
            await close()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def test_sqs_makes_the_queue_and_loses_not_even_its_first_message(aws: str) -> None:
    from aiobotocore.session import get_session

    async with closing(create_backend("sqs", broker_url=aws)) as backend:
        assert await backend.send_message("outcomes", '{"n":1}')
        assert await backend.send_message("outcomes", '{"n":2}')
    async with get_session().create_client("sqs", endpoint_url=aws) as client:
        url = (await client.get_queue_url(QueueName="outcomes"))["QueueUrl"]
        got = await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    assert sorted(each["Body"] for each in got["Messages"]) == ['{"n":1}', '{"n":2}']


async def test_sqs_says_what_the_server_refused(aws: str) -> None:
    async with closing(create_backend("sqs", broker_url=aws)) as backend:
        with pytest.raises(Exception, match=r"(?i)alphanumeric"):
            await backend.send_message("no such name!", "{}")


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_redis_messages_are_popped_in_their_order(redis_url: str) -> None:
    async with closing(create_backend("redis", broker_url=redis_url)) as backend:
        for body in ("first", "second"):
            assert await backend.send_message("outcomes", body)
    client = Redis.from_url(redis_url)
    assert [await client.lpop("outcomes") for _ in range(3)] == [b"first", b"second", None]
    await client.aclose()


async def test_redis_that_is_away_raises_so_that_the_message_is_kept() -> None:
    async with closing(create_backend("redis", broker_url="redis://127.0.0.1:1/0")) as backend:
        with pytest.raises(RedisConnectionError):
            await backend.send_message("outcomes", "{}")


broker = InMemoryBroker()
heard: list[str] = []


@broker.task(task_name="outcomes")
async def hear(message: str) -> None:
    heard.append(message)


async def test_any_taskiq_broker_runs_the_task_of_the_queues_name() -> None:
    heard.clear()
    async with closing(TaskiqBackend(broker=broker)) as backend:
        assert await backend.send_message("outcomes", '{"n":1}')
        await broker.wait_all()
    assert heard == ['{"n":1}']


async def test_memory_keeps_messages_by_queue() -> None:
    backend = create_backend("memory", broker_url="memory://")
    assert isinstance(backend, InMemoryBackend)
    await backend.send_message("a", "1")
    await backend.send_message("b", "2")
    assert dict(backend.messages) == {"a": ["1"], "b": ["2"]}


@pytest.fixture
def other_nats(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has nothing of Squall's."""
    port = free_port()
    flags = [
        "--jetstream",
        "--store_dir",
        str(tmp_path),
        "--addr",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with subprocess.Popen([BINARY, *flags], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        assert any("Server is ready" in line for line in server.stderr)
        yield f"nats://127.0.0.1:{port}"
        server.terminate()
        server.stderr.read()


async def test_another_nats_server_stores_what_its_stream_takes(other_nats: str) -> None:
    from squall_bus.wire.stock import Client

    client = Client()
    await client.connect(other_nats)
    await client.jetstream().add_stream(name="OUT", subjects=["out.*"])
    async with closing(create_backend("nats", broker_url=other_nats)) as backend:
        assert await backend.send_message("out.good", "hello")
        with pytest.raises(BackendError, match="no stream there takes this subject"):
            await backend.send_message("elsewhere", "hello")
    found = await client.jetstream().get_last_msg("OUT", "out.good")
    assert found.data == b"hello"
    await client.close()


async def test_a_nats_server_that_is_away_is_named_without_its_password() -> None:
    backend = create_backend("nats", broker_url="nats://user:hush@127.0.0.1:1")
    with pytest.raises(BackendError, match=r"no connection to nats://127\.0\.0\.1:1") as raised:
        await asyncio.wait_for(backend.send_message("out", "{}"), 60)
    assert "hush" not in str(raised.value)


class Own:
    def __init__(self, broker_url: str | None) -> None:
        self.url = broker_url

    async def send_message(self, queue_name: str, message: str) -> bool:
        return bool(queue_name and message)


def test_a_registered_backend_is_chosen_by_its_name() -> None:
    register_backend("own", Own)
    made = create_backend("own", broker_url="x://y")
    assert isinstance(made, Own)
    assert made.url == "x://y"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("kafka", {}, "there is no 'kafka'; there are memory, nats"),
        ("redis", {}, "the redis backend needs the server's address"),
        ("taskiq", {"broker_url": "redis://host"}, "needs the place of a broker"),
        ("taskiq", {"broker_url": "no_such_module:broker"}, "there is no no_such_module:broker"),
    ],
)
def test_wrong_choices_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BackendError, match=said):
        create_backend(name, **options)


def test_something_that_sends_nothing_is_no_backend() -> None:
    register_backend("odd", lambda broker_url=None: object())  # type: ignore[arg-type, return-value]
    with pytest.raises(BackendError, match="made a object, which has no send_message"):
        create_backend("odd")
