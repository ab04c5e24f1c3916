"""Client <-> gateway <-> builder: image recipes, builds and their logs.

A recipe is data: a base and an ordered list of steps. Its hash names the image.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal

import msgspec

from squall_contracts.failures import Refused
from squall_contracts.message import Message, encode
from squall_contracts.secrets import Sealed, StepSecret

BUILDER_VERSION = 1
"""Part of every image id: raise it when the same recipe would build something else."""


class ContextFile(Message, frozen=True, kw_only=True):
    """A local file a build step needs, uploaded to the workspace's code store."""

    path: str
    """Path inside the build context."""
    sha256: str
    size_bytes: int
    mode: int = 0o644


class DebianSlim(Message, frozen=True, kw_only=True, tag="debian_slim"):
    python_version: str
    """`3.11`: major and minor."""


class Registry(Message, frozen=True, kw_only=True, tag="registry"):
    reference: str
    setup_commands: tuple[str, ...] = ()
    """Dockerfile lines run before anything else."""
    add_python: str | None = None


class Dockerfile(Message, frozen=True, kw_only=True, tag="dockerfile"):
    text: str
    context: tuple[ContextFile, ...] = ()
    build_args: dict[str, str] = {}
    add_python: str | None = None


class Snapshot(Message, frozen=True, kw_only=True, tag="snapshot"):
    """What the file system of a running container was, as its runner kept it."""

    snapshot_id: str
    container_id: str
    python_version: str
    workdir: str = ""
    """As of the image the container was started from."""
    env: dict[str, str] = {}
    """Likewise."""
    expires_unix_s: float | None = None
    """None: kept for good."""
    directory: str = ""
    """It holds only what this directory of the container did: it can be mounted, and nothing can be
    started from it. Empty: it is of the whole file system."""


Base = DebianSlim | Registry | Dockerfile | Snapshot


class PipInstall(Message, frozen=True, kw_only=True, tag="pip_install"):
    """pip or uv installing into the image's Python."""

    packages: tuple[str, ...] = ()
    requirements: tuple[ContextFile, ...] = ()
    installer: Literal["pip", "uv"] = "pip"
    find_links: str | None = None
    index_url: str | None = None
    extra_index_url: str | None = None
    pre: bool = False
    extra_options: str = ""
    env: dict[str, str] = {}
    """Variables of this step alone; the image doesn't keep them."""
    secrets: tuple[StepSecret, ...] = ()
    """Likewise; the later ones win, and `env` over all."""


class UvSync(Message, frozen=True, kw_only=True, tag="uv_sync"):
    """A project's locked dependencies in a virtual environment at /.uv/.venv, put on PATH."""

    project: tuple[ContextFile, ...]
    """pyproject.toml and, when frozen, uv.lock."""
    groups: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    frozen: bool = True
    extra_options: str = ""
    env: dict[str, str] = {}
    """Variables of this step alone; the image doesn't keep them."""
    secrets: tuple[StepSecret, ...] = ()
    """Likewise; the later ones win, and `env` over all."""


class AptInstall(Message, frozen=True, kw_only=True, tag="apt_install"):
    packages: tuple[str, ...]
    env: dict[str, str] = {}
    """Variables of this step alone; the image doesn't keep them."""
    secrets: tuple[StepSecret, ...] = ()
    """Likewise; the later ones win, and `env` over all."""


class RunCommands(Message, frozen=True, kw_only=True, tag="run_commands"):
    commands: tuple[str, ...]
    env: dict[str, str] = {}
    """Variables of this step alone; the image doesn't keep them."""
    secrets: tuple[StepSecret, ...] = ()
    """Likewise; the later ones win, and `env` over all."""


class DockerfileCommands(Message, frozen=True, kw_only=True, tag="dockerfile_commands"):
    lines: tuple[str, ...]
    context: tuple[ContextFile, ...] = ()
    build_args: dict[str, str] = {}


class SetEnv(Message, frozen=True, kw_only=True, tag="env"):
    values: dict[str, str]


class Workdir(Message, frozen=True, kw_only=True, tag="workdir"):
    path: str


class Entrypoint(Message, frozen=True, kw_only=True, tag="entrypoint"):
    argv: tuple[str, ...]


class Cmd(Message, frozen=True, kw_only=True, tag="cmd"):
    argv: tuple[str, ...]


class CopyFiles(Message, frozen=True, kw_only=True, tag="copy"):
    """Local files copied into the image; each `path` is absolute in the image."""

    files: tuple[ContextFile, ...]


class RunFunction(Message, frozen=True, kw_only=True, tag="run_function"):
    """A Python function run once while building, for what it leaves on disk."""

    serialized: ContextFile
    """Cloudpickle of `(function, args, kwargs)`."""
    source_sha256: str
    """Of the function's source text and arguments: the cache key in place of the pickle's bytes."""
    files: tuple[ContextFile, ...] = ()
    """The modules it needs, as absolute paths in the image while it runs. Not part of the image's
    name: an edit elsewhere in the script must not run it again."""
    timeout_s: float = 3600.0
    env: dict[str, str] = {}
    """Variables of this step alone; the image doesn't keep them."""
    secrets: tuple[StepSecret, ...] = ()
    """Likewise; the later ones win, and `env` over all."""


Step = (
    PipInstall
    | UvSync
    | AptInstall
    | RunCommands
    | DockerfileCommands
    | SetEnv
    | Workdir
    | Entrypoint
    | Cmd
    | CopyFiles
    | RunFunction
)


class Recipe(Message, frozen=True, kw_only=True):
    """An image as a list of steps on a base."""

    base: Base
    steps: tuple[Step, ...] = ()
    force: str = ""
    """A nonce that makes a forced build a new image; empty: reuse what exists."""


def step_secrets(step: Step) -> tuple[StepSecret, ...]:
    """The secrets one step runs with."""
    match step:
        case PipInstall() | UvSync() | AptInstall() | RunCommands() | RunFunction():
            return step.secrets
        case _:
            return ()


def build_secrets(recipe: Recipe) -> tuple[StepSecret, ...]:
    """Those of all steps, in order."""
    return tuple(secret for step in recipe.steps for secret in step_secrets(step))


def layers_sha256(layers: Sequence[str]) -> str:
    """One digest for an image's layers, each named by its own, in order: ImageRecord.layers_sha256."""
    return hashlib.sha256("\n".join(layers).encode()).hexdigest()


def image_id(recipe: Recipe) -> str:
    """`im-` and 22 hex digits of a hash over the recipe, file contents and the builder version."""
    steps = tuple(
        msgspec.structs.replace(
            step, serialized=ContextFile(path="", sha256="", size_bytes=0), files=()
        )
        if isinstance(step, RunFunction)
        else step
        for step in recipe.steps
    )
    named = encode((BUILDER_VERSION, msgspec.structs.replace(recipe, steps=steps)))
    return f"im-{hashlib.sha256(named).hexdigest()[:22]}"


def docker_tag(workspace: str, image_id: str) -> str:
    """What a Docker engine calls a workspace's image; account ids have capitals, which it refuses."""
    return f"squall-{hashlib.sha256(workspace.encode()).hexdigest()[:12]}:{image_id}"


class EnsureImage(Message, frozen=True, kw_only=True):
    """Client -> gateway: have this image, building it if need be. Reply: ImageStatus at once;
    a build's log and end follow on subjects.build_feed."""

    recipe: Recipe
    own: tuple[dict[str, Sealed], ...] = ()
    """The values of the recipe's secrets that are not stored, in order."""


class BuildImage(Message, frozen=True, kw_only=True):
    """Gateway -> builder (stream BUILDS): build this recipe for this workspace."""

    workspace: str
    image_id: str
    recipe: Recipe
    own: tuple[dict[str, Sealed], ...] = ()
    """The values of the recipe's secrets that are not stored, in order."""
    grant: bytes = b""
    """The gateway's word that this workspace ordered this, for OpenBuildSecrets."""


FILES_OF_ENVIRONMENT = "squall-files"
"""Directory of a process runtime's image with what belongs in a container's root:
`squall-files/root/…` is `/root/…`."""

ImageState = Literal["building", "ready", "failed"]


class ImageRecord(Message, frozen=True, kw_only=True):
    """Registry entry of an image, written by the builder. Key: subjects.image_key."""

    image_id: str
    workspace: str
    recipe: Recipe
    state: ImageState
    runtime: str
    """The runtime it was built for: docker or process."""
    reference: str = ""
    """What the runtime starts from: a Docker image tag, or the directory of a virtual environment."""
    python_version: str = ""
    size_bytes: int = 0
    created_unix_s: float
    build_s: float = 0.0
    failed_step: str = ""
    error: str = ""
    log_tail: str = ""
    workdir: str = ""
    """Working directory the image asks for; empty: /root."""
    env: dict[str, str] = {}
    engine: str = ""
    """Names the Docker engine it was built in; empty: none, or by a version that didn't say."""
    layers_sha256: str = ""
    """Over the digests of its layers in order; empty: as `engine`."""


class ShareImage(Message, frozen=True, kw_only=True):
    """Runner -> builder (request): have this image in the workspace's image files. Reply: ImageShared."""

    workspace: str
    image_id: str


class ImageGone(Message, frozen=True, kw_only=True):
    """Builder -> whoever has a copy, unstored: this image was removed."""

    reference: str
    """As in its record."""


class ImageShared(Message, frozen=True, kw_only=True, tag="image_shared"):
    size_bytes: int


class ImageStatus(Message, frozen=True, kw_only=True, tag="image"):
    image_id: str
    state: ImageState
    failed_step: str = ""
    error: str = ""
    log_tail: str = ""


class BuildLine(Message, frozen=True, kw_only=True, tag="line"):
    """Builder -> waiting clients: one line of the build's log."""

    image_id: str
    text: str
    step: int = 0
    steps: int = 0


class BuildEnded(Message, frozen=True, kw_only=True, tag="ended"):
    image_id: str
    state: ImageState
    failed_step: str = ""
    error: str = ""
    log_tail: str = ""
    build_s: float = 0.0


BuildNews = BuildLine | BuildEnded


class ListImages(Message, frozen=True, kw_only=True):
    """Reply: ImageList."""


class ImageList(Message, frozen=True, kw_only=True, tag="image_list"):
    images: tuple[ImageRecord, ...]


class PruneImages(Message, frozen=True, kw_only=True):
    """Remove images no live function uses. Reply: ImagesPruned."""


class ImagesPruned(Message, frozen=True, kw_only=True, tag="pruned"):
    image_ids: tuple[str, ...]
    freed_bytes: int = 0


class RemoveImage(Message, frozen=True, kw_only=True):
    """Gateway -> builder (request): forget an image and free its disk. Reply: ImagesPruned."""

    workspace: str
    image_id: str


ShareReply = ImageShared | Refused
ImageReply = ImageStatus | Refused
ImageListReply = ImageList | Refused
PruneReply = ImagesPruned | Refused
