"""The runner's knobs, from SQUALL_RUNNER_* or from the one-machine server."""

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec


def default_state_dir() -> str:
    """`runner` under SQUALL_STATE_DIR, XDG_STATE_HOME/squall or ~/.local/state/squall."""
    base = os.environ.get("SQUALL_STATE_DIR")
    if base is None:
        home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        base = str(Path(home) / "squall")
    return str(Path(base) / "runner")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each field is read from SQUALL_RUNNER_<FIELD>; tuples are comma separated."""

    runtime: Literal["docker", "process"] = "docker"
    state_dir: str = msgspec.field(default_factory=default_state_dir)
    """Container directories, caches and the runner's id: local disk, one runner's alone."""
    servers_for_containers: tuple[str, ...] = ()
    """NATS URLs as containers reach them; empty: the runner's own, with loopback hosts replaced by
    the container network's gateway."""
    network: str = "squall"
    """Bridge network of containers, made when missing; block_network uses `<network>-blocked`."""
    oci_runtime: str = ""
    """Such as `runsc`; empty: Docker's default."""
    guard: bool = True
    """Keep containers from the machine they run on (but for NATS) and from link-local addresses,
    where clouds serve credentials. It takes root, nsenter, ip and iptables."""
    pids_limit: Annotated[int, msgspec.Meta(ge=16)] = 1024
    ca_bundle: str = ""
    """A file of CA certificates containers trust, for networks whose proxy re-signs TLS."""
    warm_pool: Annotated[int, msgspec.Meta(ge=0, le=64)] = 1
    """Containers kept started ahead for each image in use; 0: none."""
    warm_window_s: Annotated[float, msgspec.Meta(ge=1)] = 600.0
    """An image counts as in use this long after its last start."""
    zygotes: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 8
    """Images whose containers are forked from a process that has Squall's imports behind it, at
    most, each while its image is in use; 0: none. Process runtime only."""
    snapshots: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    """Containers held ready for one function with a memory snapshot, at most: as many as lately
    started together; 0: none."""
    snapshots_in_all: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 16
    snapshot_memory_mib: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """What all snapshots may hold; None: an eighth of the machine's memory."""
    snapshot_window_s: Annotated[float, msgspec.Meta(ge=1)] = 3600.0
    """A snapshot nobody needed for so long is given up."""
    prefetched: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 8
    """Images of deployed functions a warm container is made for before anybody calls, at most."""
    sandboxes: Annotated[int, msgspec.Meta(ge=0, le=64)] = 1
    """Network namespaces kept ready per network (Docker takes 150 ms to make one); 0: none."""
    cpu: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Cores to offer; None: all of them."""
    memory_mib: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """Memory to offer; None: all of it."""
    disk_mib: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """What a container may write outside its volumes at most, whatever its function says; None: what
    that says, and no limit where it says nothing. Docker runtime only."""
    disk_check_s: Annotated[float, msgspec.Meta(ge=0.05)] = 10.0
    """How long after a look at what containers have written the next one begins."""
    gpus: tuple[str, ...] = ()
    """One GPU type per device, in device order, such as `H100,H100`; empty: those NVML finds."""
    gpu_driver: Literal["nvidia", "none"] = "nvidia"
    """How containers get their GPUs; `none`: they are counted and told which are theirs, and the
    engine is asked for no device, for inventories that stand for something else, as in tests."""
    labels: dict[str, str] = {}
    starts_at_once: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    file_cache_mib: Annotated[int, msgspec.Meta(ge=1)] = 4096
    volume_cache_mib: Annotated[int, msgspec.Meta(ge=1)] = 64 * 1024
    """What cached states of volumes that no container has mounted may take."""
    volume_views: Literal["auto", "overlay", "copy"] = "auto"
    """How containers get at volumes. `overlay` needs root, and a Docker engine that sees this
    process's mounts: in a container of its own it needs its state directory mounted `rshared`. `auto`
    is `overlay` where both hold for certain, else `copy`, whose starts take as long as copying."""
    ack_wait_s: Annotated[float, msgspec.Meta(ge=1)] = 8.0
    """What guests are told: they extend deliveries at a third of it. The scheduler's consumers must
    use the same figure: SQUALL_SCHEDULER_ACK_WAIT_S."""
    guest_drain_s: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """At least so long a guest that is told to end finishes what it runs: as long as an input of its
    function may run, if that is longer. The stop's own grace ends it before."""
    ephemeral: bool = False
    """Stop all containers with the runner; else they work on and the next runner adopts them."""
    drain_s: Annotated[float, msgspec.Meta(ge=0)] = 20.0
