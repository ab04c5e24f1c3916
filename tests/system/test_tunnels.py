"""`squall.forward`: a port in a container, reached from outside."""

import socket
import threading

import httpx
import pytest
import squall
from squall.exception import InvalidError

from tests.system.conftest import Program


def test_bytes_go_both_ways_until_the_container_ends(program: Program) -> None:
    call = program("tunnelled").echo.spawn()
    host, port = next(iter(call.stream()))
    sent = bytes(range(256)) * 40_000
    with socket.create_connection((host, port), timeout=30) as here:
        writing = threading.Thread(target=here.sendall, args=(sent,))
        writing.start()
        got = bytearray()
        while len(got) < len(sent):
            got += here.recv(65536)
        writing.join()
        assert bytes(got) == sent
        call.cancel(terminate_containers=True)
        assert here.recv(1) == b""
    with pytest.raises(OSError):
        socket.create_connection((host, port), timeout=10).close()


def test_a_server_is_reached_by_its_address_while_the_block_lasts(program: Program) -> None:
    served = program("tunnelled")
    with squall.Queue.ephemeral() as end:
        call = served.page.spawn(end)
        said = iter(call.stream())
        url = next(said)
        with httpx.Client() as client:
            answers = [client.get(f"{url}/a/b?c={number}").text for number in range(3)]
        assert answers == [f"you asked for /a/b?c={number}" for number in range(3)]
        assert "is forwarded already" in next(said)
        end.put("now")
        assert next(said) == "closed"
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        call.cancel()


def test_outside_a_container_nothing_is_forwarded() -> None:
    with pytest.raises(InvalidError, match="for containers"), squall.forward(8000):
        pass
    with pytest.raises(InvalidError, match="port"):
        squall.forward(70_000)
