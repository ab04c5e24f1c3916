"""Which endpoint a request is for. Pure."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec
from squall_contracts.functions import FunctionRecord, can_run, endpoints
from squall_contracts.web import WebSpec, slug, subdomain

PATH_PREFIX: Final = "/web/"
"""Of addresses for clients without wildcard names: `/web/<subdomain>/…`."""
LOCAL_DOMAIN: Final = "localhost"
_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One web endpoint and the function whose inputs its requests are."""

    subdomain: str
    account: str
    environment: str
    app: str
    function_id: str
    name: str
    """Function or `Class.method`."""
    method: str
    """As inputs name it; empty for a function."""
    web: WebSpec
    revision: int
    """Of two that claim one address the newer has it."""


class Found(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a request goes."""

    endpoint: Endpoint
    root_path: str
    path: str
    """Still percent-encoded, below `root_path`."""
    path_parameters: dict[str, str] = {}


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request goes nowhere."""

    status: Literal[404, 405]
    reason: str
    allow: tuple[str, ...] = ()
    """The methods there are, for a 405."""
    at_home: bool = False
    """It was asked of the server itself, not at an endpoint's name."""


def endpoints_of(
    record: FunctionRecord, workspace: str, suffix: str, revision: int
) -> list[Endpoint]:
    """What a function's registry entry puts on the web; `workspace` is the workspace's name,
    `suffix` what its environment has in addresses."""
    if record.bound_to or not can_run(record.spec):
        return []
    made = []
    for method, web in endpoints(record.spec).items():
        name = f"{record.spec.name}.{method}" if method else record.spec.name
        made.append(
            Endpoint(
                subdomain=subdomain(
                    workspace,
                    suffix,
                    record.app_name,
                    name,
                    web,
                    dev=(slug(record.dev_suffix) or "dev") if record.ephemeral else "",
                ),
                account=record.workspace,
                environment=record.environment,
                app=record.app_name,
                function_id=record.function_id,
                name=name,
                method=method,
                web=web,
                revision=revision,
            )
        )
    return made


class Directory:
    """All endpoints by name and by custom domain."""

    def __init__(self, domain: str) -> None:
        """`domain`: of whose subdomains endpoints are; empty: only of localhost's."""
        self._domains = tuple(f".{each}" for each in {domain, LOCAL_DOMAIN} if each)
        self._of_function: dict[str, list[Endpoint]] = {}
        self._named: dict[str, list[Endpoint]] = {}
        self._custom: dict[str, list[Endpoint]] = {}

    def put(self, function_id: str, made: list[Endpoint]) -> None:
        """A function has these endpoints, and no others."""
        self.remove(function_id)
        if made:
            self._of_function[function_id] = made
        for endpoint in made:
            _insert(self._named.setdefault(endpoint.subdomain, []), endpoint)
            for domain in endpoint.web.custom_domains:
                _insert(self._custom.setdefault(domain, []), endpoint)

    def remove(self, function_id: str) -> None:
        for endpoint in self._of_function.pop(function_id, []):
            _drop(self._named, endpoint.subdomain, endpoint)
            for domain in endpoint.web.custom_domains:
                _drop(self._custom, domain, endpoint)

    def is_empty(self) -> bool:
        return not self._of_function

    def find(self, host: str, raw_path: str, method: str) -> Found | Missing:
        """Where a request goes. `raw_path` is percent-encoded and without its query."""
        name = hostname(host)
        custom = self._custom.get(name)
        if custom:
            return _chosen(custom, "", raw_path, method)
        for domain in self._domains:
            if name.endswith(domain):
                named = self._named.get(name.removesuffix(domain))
                if named:
                    return _chosen(named, "", raw_path, method)
                return Missing(status=404, reason=f"nothing is served at {name}")
        if raw_path.startswith(PATH_PREFIX):
            label, slash, rest = raw_path.removeprefix(PATH_PREFIX).partition("/")
            named = self._named.get(label) if _NAME.fullmatch(label) else None
            if named:
                return _chosen(named, f"{PATH_PREFIX}{label}", f"{slash or '/'}{rest}", method)
            return Missing(status=404, reason="nothing is served here")
        return Missing(status=404, reason="nothing is served here", at_home=True)


def _insert(among: list[Endpoint], endpoint: Endpoint) -> None:
    among.append(endpoint)
    among.sort(key=lambda each: -each.revision)


def _drop(table: dict[str, list[Endpoint]], key: str, endpoint: Endpoint) -> None:
    kept = [each for each in table.get(key, []) if each != endpoint]
    if kept:
        table[key] = kept
    else:
        table.pop(key, None)


@lru_cache(1024)
def hostname(host: str) -> str:
    """The name in a Host header, without its port, in small letters."""
    return host.strip().lower().partition(":")[0].rstrip(".")


# --- routes -----------------------------------------------------------------------------------------


def _chosen(named: Sequence[Endpoint], root: str, path: str, method: str) -> Found | Missing:
    if named[0].web.kind != "route":
        return Found(endpoint=named[0], root_path=root, path=path)
    routes = [each for each in named if each.web.kind == "route"]
    fitting = [
        (each, parameters)
        for each in routes
        if (parameters := match(each.web.path, path)) is not None
    ]
    if not fitting:
        return Missing(status=404, reason="no route has this path")
    wanted = [fit for fit in fitting if answers(fit[0].web.http_method, method)]
    if not wanted:
        allowed = sorted({each.web.http_method for each, _ in fitting})
        return Missing(status=405, reason=f"use {' or '.join(allowed)}", allow=tuple(allowed))
    endpoint, parameters = min(
        wanted, key=lambda fit: (len(fit[1]), fit[0].web.http_method != method, -fit[0].revision)
    )
    return Found(endpoint=endpoint, root_path=root, path=path, path_parameters=parameters)


def answers(declared: str, asked: str) -> bool:
    """Whether a route declared for one HTTP method takes a request of another."""
    return declared == asked or (declared == "GET" and asked == "HEAD")


def match(template: str, path: str) -> dict[str, str] | None:
    """The values of a template's parameters in a path; None if it doesn't fit. A slash at the end
    makes no difference; a parameter is one segment, not empty."""
    wanted, given = _segments(template), _segments(path)
    if len(wanted) != len(given):
        return None
    values: dict[str, str] = {}
    for expected, segment in zip(wanted, given, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            values[expected[1:-1]] = decoded(segment)
        elif decoded(segment) != expected:
            return None
    return values


def _segments(path: str) -> list[str]:
    return path.removeprefix("/").removesuffix("/").split("/")


def decoded(text: str) -> str:
    """Percent-decoded; bytes that are no UTF-8 are replaced."""
    if text.isascii() and "%" not in text:
        return text
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "replace")


def printable(text: str) -> str:
    """What a client sent, fit to be logged and sent on: other than ASCII is spelled out."""
    return text if text.isascii() else text.encode("ascii", "backslashreplace").decode()
