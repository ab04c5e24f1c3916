"""What an operator can set for the builder: `SQUALL_BUILDER_` variables."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

CA_VARIABLES: Final = ("SQUALL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE")


def host_ca_bundle() -> str:
    """The CA bundle this machine's own tools are told to trust; empty: none, the usual ones do."""
    for name in CA_VARIABLES:
        path = os.environ.get(name, "")
        if path and Path(path).is_file():
            return path
    return ""


def default_state_dir() -> str:
    """Where this machine keeps Squall's state."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return os.environ.get("SQUALL_STATE_DIR") or str(Path(base) / "squall")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Nothing here is part of an image's name: it says how to reach things, not what to build."""

    runtime: Literal["docker", "process"] = "docker"
    """What images are built for: Docker, or virtual environments on this machine."""
    state_dir: str = msgspec.field(default_factory=default_state_dir)
    """Virtual environments lie in `<state_dir>/images`; build contexts are packed in it."""
    docker_url: str = ""
    """Docker engine; empty: DOCKER_HOST, or the usual socket."""
    network: str = "squall-build"
    """Bridge network of build steps, made when missing."""
    guard: bool = True
    """Keep build steps from this machine (but for the ports of proxy and indexes) and from link-local
    addresses, where clouds serve credentials. It takes root, nsenter, ip and iptables."""
    base_image: str = ""
    """Base of debian_slim, `{python}` standing for its version. Empty: a bootstrapped
    squall-base if there is one, else the official python image."""
    ca_bundle: str = msgspec.field(default_factory=host_ca_bundle)
    """PEM file that builds trust, such as a corporate CA's; empty: none beyond the image's own."""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    index_url: str = ""
    """Package index for pip and uv in place of the public one."""
    extra_index_url: str = ""
    """More package indexes, separated by spaces."""
    python_mirror: str = ""
    """Where uv fetches Python builds for `add_python`; empty: its own default."""
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 2
    """Builds at a time."""
    build_timeout_s: Annotated[float, Meta(gt=0)] = 3600.0
    """A build that takes longer fails."""
    log_tail_lines: Annotated[int, Meta(ge=1)] = 60
    """Lines of a failed build's log that are kept."""
    drain_s: float = 20.0
    """Seconds that builds may go on after the service is told to stop; then they are cut and
    built again elsewhere."""
