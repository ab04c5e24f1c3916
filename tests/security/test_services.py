"""What the services' own code never does, whatever is sent to it."""

import ast
import asyncio
import socket
from collections.abc import Iterator

import pytest
from squall_contracts import apps, verbs
from squall_contracts.web import WebSpec

from tests.architecture.tree import PACKAGES, SERVICES, Module, modules
from tests.services.gateway.conftest import Client, Platform, spec

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


PROOFS = {"sha256", "old_sha256", "signature", "mac", "digest", "known"}
"""What those who check secrets call what they hold against what they were given."""
KEEP_SECRETS = (
    "squall_gateway.access.core",
    "squall_gateway.dashboard.guard",
    "squall_gateway.dashboard.session",
    "squall_gateway.rest.access",
    "squall_gateway.sandboxes.passes",
    "squall_gateway.web.tokens",
)


def compared(module: Module) -> Iterator[str]:
    """Where `==` or `in` stops at the first byte that differs, which can be measured."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Compare) and not isinstance(node.ops[0], ast.Is | ast.IsNot):
            for side in (node.left, *node.comparators):
                name = getattr(side, "attr", getattr(side, "id", ""))
                if name in PROOFS:
                    yield f"{module.path}:{node.lineno} compares {name}"


def calls(module: Module, name: str) -> bool:
    found = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return any(isinstance(each, ast.Attribute) and each.attr == name for each in found)


@pytest.mark.parametrize("name", KEEP_SECRETS)
def test_secrets_are_compared_in_constant_time(name: str) -> None:
    module = next(each for each in modules() if each.name == name)
    assert not list(compared(module))
    assert calls(module, "compare_digest")


def test_all_modules_of_the_gateway_that_compare_secrets_are_looked_at() -> None:
    gateway = [each for each in modules() if each.package == "squall_gateway"]
    assert {each.name for each in gateway if calls(each, "compare_digest")} == set(KEEP_SECRETS)


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


async def asked(platform: Platform, request: str) -> bytes:
    """The status of the answer to a request, and no more."""
    address, _, port = platform.web_url.rpartition("//")[2].partition(":")
    reader, writer = await asyncio.open_connection(address, int(port), family=socket.AF_INET)
    writer.write(f"{request}\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer.split(b" ", 2)[1]


STRANGE = (
    "",
    "..",
    "a" * 3000,
    "x y",
    "evil.example\\@inside",
    "%00",
    "localhost",
    "other.localhost",
    "test--a.localhost.evil.example",
    "test--a.evil.example",
    "evil.example@test--a.localhost",
    "evil.example/test--a.localhost",
    "test--a.localhost%00.evil.example",
)


async def test_strange_host_finds_nothing(platform: Platform, client: Client) -> None:
    """Nor does one that is told in a header which only a trusted proxy may send."""
    route = spec("f", web=WebSpec(kind="route", path="/x", http_method="POST"))
    deploy = apps.DeployApp(environment="main", name="a", functions=(route,))
    await client.ask(verbs.DEPLOY_APP, deploy)
    # An endpoint that was found says which methods it has.
    assert await asked(platform, "GET /x HTTP/1.1\r\nHost: test--a.localhost") == b"405"
    for host in STRANGE:
        found = await asked(platform, f"GET /x HTTP/1.1\r\nHost: {host}")
        assert found in {b"400", b"404"}, host[:40]
    told = "GET /x HTTP/1.1\r\nHost: evil.example\r\n"
    for header in ("X-Forwarded-Host: test--a.localhost", "Forwarded: host=test--a.localhost"):
        assert await asked(platform, told + header) == b"404", header
