"""Bases and steps that read local files: what they hold is only read when an app starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from msgspec.structs import replace
from squall_contracts import images
from squall_contracts.dockerfile import copied_sources

from squall._image.files import Collector, read_text, walk
from squall._image.sources import python_source_entries
from squall.exception import InvalidError, NotFoundError
from squall.file_pattern_matcher import FilePatternMatcher, Ignore, pattern_lines


class Layer(Protocol):
    """A step that becomes data once its local files are read."""

    @property
    def label(self) -> str:
        """The method that made it, for messages."""

    def step(self, collector: Collector) -> images.Step: ...


@dataclass(frozen=True)
class Ready:
    """A step without local files."""

    label: str
    ready: images.Step

    def step(self, collector: Collector) -> images.Step:
        return self.ready


@dataclass(frozen=True)
class Context:
    """Where a Dockerfile's COPY finds its files. `ignore` None: what a `.dockerignore` says."""

    directory: Path | None
    ignore: Ignore | None
    named: tuple[tuple[str, Path], ...] = ()

    def collect(
        self, collector: Collector, text: str, beside: Path | None
    ) -> tuple[images.ContextFile, ...]:
        """The files `text` copies. `beside`: the Dockerfile, whose own ignore file comes first."""
        found = [collector.context_file(local, path) for path, local in self.named]
        sources = copied_sources(text)
        named = {path for path, _ in self.named}
        if sources is not None:
            sources = tuple(path for path in sources if path.lstrip("/") not in named)
            if not sources:
                return tuple(found)
        directory = self.directory or Path.cwd()
        wanted = _wanted(sources, self.ignore or _dockerignore(directory, beside))
        for relative, local in walk(directory, wanted):
            found.append(collector.context_file(local, relative))
        return tuple(found)


class _Unwanted:
    """Ignores what is ignored and what no COPY names."""

    def __init__(self, sources: FilePatternMatcher | None, ignore: Ignore) -> None:
        self._sources = sources
        self._ignore = ignore

    def __call__(self, path: Path) -> bool:
        return (self._sources is not None and not self._sources(path)) or self._ignore(path)

    def prunes(self, directory: Path) -> bool:
        prunes = getattr(self._ignore, "prunes", None)
        return prunes is not None and bool(prunes(directory))


def _wanted(sources: tuple[str, ...] | None, ignore: Ignore) -> Ignore:
    all_of_it = sources is None or any(path.strip("/") in ("", ".") for path in sources)
    return _Unwanted(None if all_of_it else FilePatternMatcher(*(sources or ())), ignore)


def _dockerignore(directory: Path, beside: Path | None) -> Ignore:
    places = [directory / ".dockerignore"]
    if beside is not None:
        places.insert(0, beside.with_name(f"{beside.name}.dockerignore"))
    for place in places:
        if place.is_file():
            return FilePatternMatcher(*pattern_lines(read_text(place, "ignore")))
    return FilePatternMatcher()


@dataclass(frozen=True)
class DockerfileBase:
    path: Path
    context: Context
    build_args: Mapping[str, str]
    add_python: str | None

    def base(self, collector: Collector) -> images.Dockerfile:
        text = read_text(self.path, "from_dockerfile: path")
        return images.Dockerfile(
            text=text,
            context=self.context.collect(collector, text, self.path),
            build_args=dict(self.build_args),
            add_python=self.add_python,
        )


@dataclass(frozen=True)
class DockerfileLines:
    lines: tuple[str, ...]
    context: Context
    build_args: Mapping[str, str]
    label: str = "dockerfile_commands"

    def step(self, collector: Collector) -> images.Step:
        return images.DockerfileCommands(
            lines=self.lines,
            context=self.context.collect(collector, "\n".join(self.lines), None),
            build_args=dict(self.build_args),
        )


@dataclass(frozen=True)
class Requirements:
    """pip or uv with requirements files."""

    label: str
    files: tuple[Path, ...]
    rest: images.PipInstall

    def step(self, collector: Collector) -> images.Step:
        found = [
            collector.data(
                read_text(path, f"{self.label}: requirements").encode(), f"{number}-{path.name}"
            )
            for number, path in enumerate(self.files)
        ]
        return replace(self.rest, requirements=tuple(found))


@dataclass(frozen=True)
class Pyproject:
    """The dependencies a pyproject.toml lists."""

    path: Path
    groups: tuple[str, ...]
    rest: images.PipInstall
    label: str = "pip_install_from_pyproject"

    def step(self, collector: Collector) -> images.Step:
        project = read_toml(self.path, f"{self.label}: pyproject_toml").get("project", {})
        if "dependencies" not in project:
            raise InvalidError(
                f"{self.label}: {str(self.path)!r} has no [project] dependencies: "
                "list them, or use pip_install_from_requirements"
            )
        packages = list(project["dependencies"])
        optional = project.get("optional-dependencies", {})
        for group in self.groups:
            if group not in optional:
                raise InvalidError(
                    f"{self.label}: {str(self.path)!r} has no optional dependencies {group!r}"
                )
            packages += optional[group]
        return replace(self.rest, packages=tuple(sorted(packages)))


@dataclass(frozen=True)
class UvProject:
    """A uv project's locked dependencies."""

    directory: Path
    rest: images.UvSync
    label: str = "uv_sync"

    def step(self, collector: Collector) -> images.Step:
        pyproject = self.directory / "pyproject.toml"
        settings = read_toml(pyproject, "uv_sync: uv_project_dir")
        if "workspace" in settings.get("tool", {}).get("uv", {}):
            raise InvalidError(
                f"uv_sync: {str(pyproject)!r} is a workspace, which can't be synced: "
                "point uv_project_dir at one project"
            )
        lock = self.directory / "uv.lock"
        project = [collector.file(pyproject, "pyproject.toml")]
        if lock.is_file():
            project.append(collector.file(lock, "uv.lock"))
        return replace(
            self.rest, project=tuple(project), frozen=self.rest.frozen and lock.is_file()
        )


class LocalFiles(Protocol):
    """Local files as (absolute path in the image, local file)."""

    @property
    def label(self) -> str: ...

    def files(self) -> list[tuple[str, Path]]: ...


@dataclass(frozen=True)
class LocalFile:
    local: Path
    remote: str
    label: str = "add_local_file"

    def files(self) -> list[tuple[str, Path]]:
        if self.local.is_dir():
            raise InvalidError(
                f"add_local_file: {str(self.local)!r} is a directory: use add_local_dir"
            )
        if not self.local.exists():
            raise NotFoundError(f"add_local_file: {str(self.local)!r} does not exist")
        return [(self.remote, self.local)]


@dataclass(frozen=True)
class LocalDir:
    local: Path
    remote: str
    ignore: Ignore
    label: str = "add_local_dir"

    def files(self) -> list[tuple[str, Path]]:
        place = self.remote.rstrip("/")
        return [(f"{place}/{relative}", path) for relative, path in walk(self.local, self.ignore)]


@dataclass(frozen=True)
class LocalModules:
    modules: tuple[str, ...]
    ignore: Ignore
    label: str = "add_local_python_source"

    def files(self) -> list[tuple[str, Path]]:
        return [
            entry for name in self.modules for entry in python_source_entries(name, self.ignore)
        ]


@dataclass(frozen=True)
class Copied:
    """Local files as a layer of the image."""

    source: LocalFiles

    @property
    def label(self) -> str:
        return self.source.label

    def step(self, collector: Collector) -> images.Step:
        found = dict(self.source.files())
        return images.CopyFiles(
            files=tuple(collector.file(local, path) for path, local in sorted(found.items()))
        )


def read_toml(path: Path, field: str) -> dict[str, Any]:
    """A parsed TOML file. NotFoundError or InvalidError names `field`."""
    import tomllib

    try:
        return tomllib.loads(read_text(path, field))
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"{field}: {str(path)!r} is not valid TOML: {error}") from error
