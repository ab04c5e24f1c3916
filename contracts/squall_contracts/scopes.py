"""What holders of a token may do: each scope, and which others it includes."""

from collections.abc import Iterable
from typing import Final, Literal

Scope = Literal["read", "call", "deploy", "admin", "operator", "runner"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "call", "deploy", "admin", "operator", "runner")
"""`read`: lists and logs. `call`: also calls, and what functions share. `deploy`: also apps, images,
secrets. `admin`: also the workspace's tokens, members and sealing keys. `operator`: also workspaces
and their quotas, and what follows for runners. `runner`: to join as a runner, and nothing else."""
PLATFORM_SCOPES: Final[frozenset[Scope]] = frozenset({"operator", "runner"})
"""Scopes that reach beyond one workspace: only an operator may give them."""
IN_CONTAINERS: Final[frozenset[Scope]] = frozenset({"deploy"})
"""Of the SDK inside a container: whoever put the code there could deploy."""
EVERYTHING: Final[frozenset[Scope]] = frozenset({"operator"})

_LADDER: Final[tuple[Scope, ...]] = ("read", "call", "deploy", "admin", "operator")


def included(scopes: Iterable[str]) -> frozenset[Scope]:
    """These scopes with all they include. ValueError names one that isn't."""
    found: set[Scope] = set()
    for scope in scopes:
        if scope not in SCOPES:
            raise ValueError(f"{scope!r} is not a scope: choose of {', '.join(SCOPES)}")
        if scope == "runner":
            found.add("runner")
            continue
        found.update(_LADDER[: _LADDER.index(scope) + 1])
    return frozenset(found)


def beyond(scopes: Iterable[str], most: Iterable[str]) -> list[str]:
    """Those of `scopes`, included ones too, that `most` doesn't include; in order."""
    return sorted(included(scopes) - included(most))
