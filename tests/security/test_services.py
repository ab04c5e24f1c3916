"""What the services' own code never does, whatever is sent to it."""

import ast
import asyncio
import socket
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PACKAGES, SERVICES, Module, modules
from tests.services.gateway.conftest import Platform

IN_IMAGES_BEING_BUILT = {"squall_builder.run_function"}
"""Not run by a service but shipped into the build of a user's own image."""
UNPICKLERS = {"pickle", "cloudpickle", "dill", "marshal", "shelve", "jsonpickle"}
RUNNERS_OF_TEXT = {"eval", "exec"}


def offences(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    if alias.name.partition(".")[0] in UNPICKLERS:
                        yield f"{module.path}:{node.lineno} imports {alias.name}"
            case ast.ImportFrom(module=str(name)) if name.partition(".")[0] in UNPICKLERS:
                yield f"{module.path}:{node.lineno} imports {name}"
            case ast.Call(func=ast.Name(id=name)) if name in RUNNERS_OF_TEXT:
                yield f"{module.path}:{node.lineno} calls {name}"


def test_services_never_unpickle() -> None:
    guarded = {*SERVICES, "squall_contracts", "squall_bus", "squall_volumes"} & set(PACKAGES)
    found = [
        offence
        for module in modules()
        if module.package in guarded and module.name not in IN_IMAGES_BEING_BUILT
        for offence in offences(module)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Content-Length: -1",
        "Transfer-Encoding: chunked, identity",
        "Content-Length : 4",
        "X-A: b\r\n folded: c\r\nContent-Length: 4\r\nContent-Length: 0",
        "Host: second.example",
    ],
)
async def test_ambiguous_request_is_refused_and_the_connection_closed(
    platform: Platform, head: str
) -> None:
    """Two readers of such a request may differ about where it ends: nobody is to guess."""
    host, _, port = platform.web_url.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /web/x HTTP/1.1\r\nHost: first.example\r\n{head}\r\n\r\nabcdGET /v1/health HTTP/1.1\r\n"
        "Host: first.example\r\n\r\n".encode()
    )
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400")), answer[:80]
    assert answer.count(b"HTTP/1.") == 1


@pytest.mark.parametrize("host", ["", "..", "a" * 3000, "x y", "evil.example\\@inside", "%00"])
async def test_strange_host_finds_nothing(platform: Platform, host: str) -> None:
    address, _, port = platform.web_url.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(address, int(port), family=socket.AF_INET)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    assert answer.split(b" ", 2)[1] in {b"400", b"404"}, answer[:80]
