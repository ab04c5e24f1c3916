"""Images: what containers run in, described step by step and named by their content.

Describing an image does no I/O. Local files are read when an app starts, by `resolve`.
"""

import functools
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, cast

from squall_contracts import images
from squall_contracts.functions import FileEntry

from squall import _sync
from squall._image import check
from squall._image.chain import Chain
from squall._image.commands import (
    AUTO_DOCKERIGNORE,
    CommandSteps,
    _FromDockerignore,
    build_context,
)
from squall._image.conda import CondaSteps
from squall._image.files import Collector, Content, file_entry
from squall._image.layers import Copied, DockerfileBase, LocalDir, LocalFile, LocalModules
from squall._image.packages import PackageSteps, Variables, build_env
from squall._image.projects import ProjectSteps
from squall._image.secrets import ELSEWHERE, of_layers
from squall._image.sources import python_source_entries
from squall._modal.handle import Absent, Handle, Page
from squall._modal.mount import Mount
from squall._modal.spellings import old_spelling
from squall.exception import ExecutionError, InvalidError
from squall.file_pattern_matcher import (
    NON_PYTHON_FILES,
    FilePatternMatcher,
    Ignore,
    as_ignore,
)

if TYPE_CHECKING:
    from squall.secret import Secret

__all__ = [
    "NON_PYTHON_FILES",
    "FilePatternMatcher",
    "Image",
    "ResolvedImage",
    "file_entry",
    "python_source_entries",
    "resolve",
]

LOG_IN: Final = "log the builder's Docker engine in (docker login)"
FORCE_VARIABLE: Final = "SQUALL_FORCE_BUILD"


class LocalFileSteps(Chain):
    """Local files, laid over the image when a container starts, or copied into it."""

    def add_local_file(
        self, local_path: str | Path, remote_path: str, *, copy: bool = False
    ) -> Self:
        """Add a local file at an absolute path; a path that ends in `/` keeps the file's name.

        `copy=False` lays it over the image when a container starts, so that an edit builds
        nothing; `copy=True` makes it a layer that later steps see.
        """
        local = check.local_path(local_path, "add_local_file: local_path")
        remote = check.remote_path(remote_path, "add_local_file: remote_path")
        if remote == "/" or remote.endswith("/"):
            remote = f"{remote.rstrip('/')}/{local.name}"
        return self._add(LocalFile(local, remote), copy)

    def add_local_dir(
        self,
        local_path: str | Path,
        remote_path: str,
        *,
        copy: bool = False,
        ignore: Sequence[str] | Ignore = (),
    ) -> Self:
        """Add what a local directory holds below an absolute path.

        `ignore`: dockerignore patterns, or a function that is True for a relative path to leave
        out. `copy` as in `add_local_file`.
        """
        local = check.local_path(local_path, "add_local_dir: local_path")
        remote = check.remote_path(remote_path, "add_local_dir: remote_path")
        return self._add(LocalDir(local, remote, as_ignore(ignore, "add_local_dir: ignore")), copy)

    def add_local_python_source(
        self,
        *modules: str,
        copy: bool = False,
        ignore: Sequence[str] | Ignore = NON_PYTHON_FILES,
    ) -> Self:
        """Add the source of modules that can be imported here, so that they can be in containers.

        Only `.py` files by default. `copy` as in `add_local_file`.
        """
        label = "add_local_python_source"
        for name in check.texts(modules, f"{label}: modules"):
            if not all(part.isidentifier() for part in name.split(".")):
                raise InvalidError(f"{label}: modules takes names of modules, not {name!r}")
        return self._add(LocalModules(modules, as_ignore(ignore, f"{label}: ignore")), copy)

    def copy_local_file(self, local_path: str | Path, remote_path: str = "./") -> Self:
        """The old spelling of `add_local_file(…, copy=True)`. `./` is `/root`."""
        old_spelling("Image.copy_local_file", "Image.add_local_file(…, copy=True)")
        return self.add_local_file(local_path, _in_root(remote_path), copy=True)

    def copy_local_dir(self, local_path: str | Path, remote_path: str = ".") -> Self:
        """The old spelling of `add_local_dir(…, copy=True)`. `.` is `/root`."""
        old_spelling("Image.copy_local_dir", "Image.add_local_dir(…, copy=True)")
        return self.add_local_dir(local_path, _in_root(remote_path), copy=True)

    def copy_mount(self, mount: Mount, remote_path: str = ".") -> Self:
        """The old spelling of `add_local_…(…, copy=True)`; the mount's own paths count."""
        old_spelling("Image.copy_mount", "Image.add_local_dir(…, copy=True)")
        image: Any = self
        for lay in mount.lay:
            laid = lay(image)
            image = image._then(Copied(laid._overlays[-1]))
        return cast(Self, image)

    def _add(self, files: LocalFile | LocalDir | LocalModules, copy: bool) -> Self:
        if check.flag(copy, f"{files.label}: copy"):
            return self._then(Copied(files))
        return self._lay_over(files)


class Image(Handle, PackageSteps, CommandSteps, CondaSteps, ProjectSteps, LocalFileSteps):
    """What a container runs in. Immutable: every method returns a new image."""

    @classmethod
    def debian_slim(cls, python_version: str | None = None, force_build: bool = False) -> Self:
        """Debian with Python. None: this interpreter's version, such as `3.12`."""
        if python_version is None:
            from sys import version_info

            python_version = f"{version_info.major}.{version_info.minor}"
        version = check.python_version(python_version, "debian_slim: python_version")
        return cls._from(images.DebianSlim(python_version=version), force_build)

    @classmethod
    def from_registry(
        cls,
        tag: str,
        secret: Any = None,
        *,
        setup_dockerfile_commands: Sequence[str] = (),
        force_build: bool = False,
        add_python: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """An image of a registry. It needs `python` and `pip`, or `add_python="3.12"`.

        `setup_dockerfile_commands` run before anything else, such as the making of `python`.
        """
        if kwargs:
            raise TypeError(f"from_registry() got unexpected keyword arguments {sorted(kwargs)}")
        check.not_offered("from_registry: secret", secret, LOG_IN)
        reference = check.text(tag, "from_registry: tag")
        if any(character.isspace() for character in reference):
            raise InvalidError(f"from_registry: tag {tag!r} can't hold spaces")
        base = images.Registry(
            reference=reference,
            setup_commands=check.lines(
                setup_dockerfile_commands, "from_registry: setup_dockerfile_commands"
            ),
            add_python=_added_python("from_registry", add_python),
        )
        return cls._from(base, force_build)

    @classmethod
    def from_aws_ecr(cls, tag: str, secret: Any = None, **options: Any) -> Self:
        """As `from_registry`: the builder's Docker engine must be logged in."""
        return cls.from_registry(tag, secret, **options)

    @classmethod
    def from_gcp_artifact_registry(cls, tag: str, secret: Any = None, **options: Any) -> Self:
        """As `from_registry`: the builder's Docker engine must be logged in."""
        return cls.from_registry(tag, secret, **options)

    @classmethod
    def from_scratch(cls, force_build: bool = False) -> NoReturn:
        """InvalidError: a container needs a Python of its own to run functions."""
        raise InvalidError(
            "from_scratch: functions need Python: begin with debian_slim(), or with "
            "from_registry(…, add_python=…)"
        )

    @classmethod
    def from_id(cls, image_id: str, client: object = None) -> NoReturn:
        """InvalidError: an image is known by its recipe."""
        raise InvalidError(
            "from_id: an image is named by its recipe: write the recipe, which builds nothing anew"
        )

    @classmethod
    def from_name(
        cls, name: str, *, environment_name: str | None = None, client: object = None
    ) -> NoReturn:
        """InvalidError: an image is known by its recipe."""
        raise InvalidError(
            "from_name: images have no names here: put the recipe into a module that scripts share"
        )

    logs = Absent("a build's log is shown while it is built, and by `squall image`")

    @_sync.synced
    async def build(self, app: object = None) -> "Image":
        """Build it now, if that wasn't done before. ImageBuildError."""
        from squall._image.building import build

        self._built_id = await build(self)
        return self

    async def _page(self) -> Page:
        return Page(f"images/{self.object_id}", None)

    @_sync.synced
    async def hydrate(self, client: object = None) -> "Image":
        """ExecutionError unless `build` was called: an app's images are built when it starts."""
        self.object_id  # noqa: B018 - raises
        return self

    @property
    def object_id(self) -> str:
        """Its id. ExecutionError before `build`."""
        if self._built_id is None:
            raise ExecutionError("the image is not built yet: call build()")
        return self._built_id

    def publish(self, name: str, **_options: Any) -> NoReturn:
        """InvalidError: an image is known by its recipe."""
        Image.from_name(name)
        raise AssertionError

    @classmethod
    def from_dockerfile(
        cls,
        path: str | Path,
        *,
        force_build: bool = False,
        context_dir: str | Path | None = None,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
        add_python: str | None = None,
        build_args: Mapping[str, str] | None = None,
        ignore: Sequence[str] | Ignore | _FromDockerignore = AUTO_DOCKERIGNORE,
        registry_secret: Any = None,
    ) -> Self:
        """What a local Dockerfile builds; its COPY finds files in `context_dir` (None: here)."""
        label = "from_dockerfile"
        build_env(label, None, gpu)
        check.not_offered(f"{label}: secrets", secrets, ELSEWHERE)
        check.not_offered(f"{label}: registry_secret", registry_secret, LOG_IN)
        check.not_offered(f"{label}: env", env, "use build_args or the ENV instruction")
        base = DockerfileBase(
            check.local_path(path, f"{label}: path"),
            build_context(label, context_dir, ignore),
            check.variables(build_args or {}, f"{label}: build_args"),
            _added_python(label, add_python),
        )
        return cls._from(base, force_build)


def _in_root(remote: str) -> str:
    """A path of old, which could be relative to `/root`."""
    return str(PurePosixPath("/root") / remote) + ("/" if remote.endswith("/") else "")


def _added_python(label: str, version: str | None) -> str | None:
    return None if version is None else check.python_version(version, f"{label}: add_python")


@dataclass(frozen=True)
class ResolvedImage:
    """An image with its local files read: what is sent to a server."""

    recipe: images.Recipe
    uploads: dict[str, Content]
    """Content by sha256 that recipe and overlays name: a local file, or bytes."""
    overlays: tuple[FileEntry, ...]
    """Files laid over the image when a container starts; one entry a path."""
    secrets: "tuple[Secret, ...]" = ()
    """What the recipe's steps run with, in order."""

    @property
    def image_id(self) -> str:
        return images.image_id(self.recipe)


def resolve(image: Image) -> ResolvedImage:
    """Read an image's local files. NotFoundError, InvalidError or ModuleNotMountable names one.

    Blocks on disk; a file is hashed once per process while it stays the same.
    """
    collector = Collector()
    base = image._base
    recipe = images.Recipe(
        base=base.base(collector) if isinstance(base, DockerfileBase) else base,
        steps=tuple(layer.step(collector) for layer in image._layers),
        force=image._force or _forced(),
    )
    laid: dict[str, FileEntry] = {}
    for files in image._overlays:
        for remote, local in files.files():
            laid[remote] = collector.overlay(local, remote)
    overlays = tuple(laid[path] for path in sorted(laid))
    return ResolvedImage(recipe, collector.uploads, overlays, of_layers(image._layers))


@functools.cache
def _process_nonce() -> str:
    """Drawn when it is first asked for: a process that is forked before then draws its own."""
    return secrets.token_hex(8)


def _forced() -> str:
    """A nonce of this process where the environment asks to build everything anew."""
    return _process_nonce() if os.environ.get(FORCE_VARIABLE, "0") not in ("", "0") else ""
