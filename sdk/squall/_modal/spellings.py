"""Options of decorators as Modal has or had them: renamed, without effect here, refused, or gone."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from squall.exception import DeprecationError, InvalidError, NoEffectWarning

RENAMED: Final = {
    "concurrency_limit": "max_containers",
    "keep_warm": "min_containers",
    "container_idle_timeout": "scaledown_window",
    "allow_concurrent_inputs": "max_inputs",
}
"""Taken under the old name with a warning."""
WITHOUT_EFFECT: Final = {
    "cloud": "containers run on your own machines",
    "region": "containers run on your own machines",
    "routing_region": "requests are routed by your own server",
    "compute_region": "containers run on your own machines",
    "i6pn": "containers do not reach each other by address",
    "rdma": "the machines' own network is used",
    "experimental_options": "they belong to Modal's own containers",
    "gpu": "images are built without a GPU",
    "proxy_regions": "requests are routed by your own server",
    "h2_enabled": "requests come over HTTP/1.1",
    "exit_grace_period": "containers have the server's own time to drain",
    "proxy": "requests leave from the machines' own addresses",
    "scaleup_window": "containers are started as soon as inputs wait",
}
"""Of Modal's cloud: accepted, with one notice a process."""
REFUSED: Final = {
    "network_file_systems": "there are none: use volumes={path: squall.Volume.from_name(…)}",
}
"""Leaving them out would change what a script means."""
GONE: Final = {
    "secret": "secrets=[…]",
    "shared_volumes": "volumes={path: squall.Volume.from_name(…)}",
    "cpu_limit": "cpu=(request, limit)",
    "interactive": "squall run --interactive",
}
"""Names of long ago, and what replaced them."""
MOUNTS: Final = ("mounts", "mount")

_said: set[str] = set()


def known(name: str) -> bool:
    """Whether an option that is none of Squall's own is understood all the same."""
    return name in {*RENAMED, *WITHOUT_EFFECT, *REFUSED, *MOUNTS}


def current(caller: str, given: Mapping[str, Any], *, stacklevel: int = 4) -> dict[str, Any]:
    """`given` by today's names; what has no effect is left out with a notice, and `mounts` stays as a
    tuple. InvalidError for what is refused or gone; TypeError for a name that never was."""
    chosen: dict[str, Any] = {}
    for name, value in given.items():
        if name in RENAMED:
            warnings.warn(
                f"{name} is now called {RENAMED[name]}", DeprecationError, stacklevel=stacklevel
            )
            chosen[RENAMED[name]] = value
        elif name in WITHOUT_EFFECT:
            without_effect(name, value, stacklevel=stacklevel + 1)
        elif name in REFUSED:
            if value:
                raise InvalidError(f"{name} is not available: {REFUSED[name]}")
        elif name in MOUNTS:
            warnings.warn(
                f"{name}= is gone: use image.add_local_dir(…), image.add_local_file(…) or "
                "image.add_local_python_source(…)",
                DeprecationError,
                stacklevel=stacklevel,
            )
            chosen["mounts"] = tuple(value) if isinstance(value, Sequence) else (value,)
        elif name in GONE:
            raise InvalidError(f"{name}= is gone: write {GONE[name]}")
        else:
            raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}")
    return chosen


def without_effect(name: str, value: object, *, stacklevel: int = 3) -> None:
    """Say once a process that an option has no effect, unless it asks for nothing. Containers, which
    import the module again, say nothing."""
    if not value or name in _said or os.environ.get("SQUALL_IS_REMOTE"):
        return
    _said.add(name)
    warnings.warn(
        f"{name} has no effect here: {WITHOUT_EFFECT[name]}", NoEffectWarning, stacklevel=stacklevel
    )


def old_spelling(old: str, new: str, *, stacklevel: int = 3) -> None:
    """Warn that a name is an old one. DeprecationError, as a warning."""
    warnings.warn(f"{old} is now called {new}", DeprecationError, stacklevel=stacklevel)


def plain_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning in one line, for the command line."""
    return f"squall: {Path(filename).name}:{lineno}: {message}\n"
