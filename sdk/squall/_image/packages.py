"""Image steps that install packages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from msgspec.structs import replace
from squall_contracts import images

from squall._image import check
from squall._image.chain import Chain
from squall._image.layers import Pyproject, Requirements, UvProject
from squall._image.secrets import checked
from squall._modal import spellings

Variables = Mapping[str, str | None]

UNSUPPORTED = "do it when the function runs"


def build_env(label: str, env: Variables | None, gpu: object) -> dict[str, str]:
    """The variables of one step; says that a build has no GPU."""
    spellings.without_effect("gpu", gpu, stacklevel=4)
    return check.variables(env or {}, f"{label}: env")


class PackageSteps(Chain):
    """pip, uv and apt."""

    def pip_install(
        self,
        *packages: str | Sequence[str],
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install Python packages with pip. Without packages the image stays as it is."""
        label = "pip_install"
        step = _install(label, "pip", (find_links, index_url, extra_index_url), pre, extra_options)
        wanted = check.packages(packages, f"{label}: packages")
        variables, hidden = build_env(label, env, gpu), checked(label, secrets)
        if not wanted:
            return self
        return self._step(label, _with(step, variables, wanted), force_build, hidden)

    def uv_pip_install(
        self,
        *packages: str | Sequence[str],
        requirements: Sequence[str | Path] | None = None,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        uv_version: str | None = None,
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install Python packages and requirements files with uv, which is much faster than pip."""
        label = "uv_pip_install"
        check.not_offered(f"{label}: uv_version", uv_version, "the builder brings its own uv")
        step = _install(label, "uv", (find_links, index_url, extra_index_url), pre, extra_options)
        wanted = check.packages(packages, f"{label}: packages")
        files = tuple(
            check.local_path(path, f"{label}: requirements")
            for path in check.paths(requirements or (), f"{label}: requirements")
        )
        variables, hidden = build_env(label, env, gpu), checked(label, secrets)
        if not wanted and not files:
            return self
        complete = _with(step, variables, wanted)
        if not files:
            return self._step(label, complete, force_build, hidden)
        return self._then(Requirements(label, files, complete), force_build, hidden)

    def pip_install_from_requirements(
        self,
        requirements_txt: str | Path,
        find_links: str | None = None,
        *,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install what a local requirements file lists, with pip."""
        label = "pip_install_from_requirements"
        step = _install(label, "pip", (find_links, index_url, extra_index_url), pre, extra_options)
        path = check.local_path(requirements_txt, f"{label}: requirements_txt")
        complete = _with(step, build_env(label, env, gpu))
        hidden = checked(label, secrets)
        return self._then(Requirements(label, (path,), complete), force_build, hidden)

    def pip_install_from_pyproject(
        self,
        pyproject_toml: str | Path,
        optional_dependencies: Sequence[str] = (),
        *,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install the dependencies of a local pyproject.toml, with pip, but not the project."""
        label = "pip_install_from_pyproject"
        step = _install(label, "pip", (find_links, index_url, extra_index_url), pre, extra_options)
        path = check.local_path(pyproject_toml, f"{label}: pyproject_toml")
        groups = check.argv(optional_dependencies, f"{label}: optional_dependencies")
        complete = _with(step, build_env(label, env, gpu))
        hidden = checked(label, secrets)
        return self._then(Pyproject(path, groups, complete), force_build, hidden)

    def uv_sync(
        self,
        uv_project_dir: str | Path = "./",
        *,
        force_build: bool = False,
        groups: Sequence[str] | None = None,
        extras: Sequence[str] | None = None,
        frozen: bool = True,
        extra_options: str = "",
        uv_version: str | None = None,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install a local uv project's dependencies into /.uv/.venv, which goes first on PATH.

        The project itself is not installed. `frozen`: take uv.lock, where there is one, as it is.
        """
        check.not_offered("uv_sync: uv_version", uv_version, "the builder brings its own uv")
        step = images.UvSync(
            project=(),
            groups=check.argv(groups or (), "uv_sync: groups"),
            extras=check.argv(extras or (), "uv_sync: extras"),
            frozen=check.flag(frozen, "uv_sync: frozen"),
            extra_options=check.options(extra_options, "uv_sync: extra_options"),
            env=build_env("uv_sync", env, gpu),
        )
        directory = check.local_path(uv_project_dir, "uv_sync: uv_project_dir")
        return self._then(UvProject(directory, step), force_build, checked("uv_sync", secrets))

    def apt_install(
        self,
        *packages: str | Sequence[str],
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install Debian packages with apt."""
        wanted = check.packages(packages, "apt_install: packages")
        variables = build_env("apt_install", env, gpu)
        hidden = checked("apt_install", secrets)
        if not wanted:
            return self
        step = images.AptInstall(packages=wanted, env=variables)
        return self._step("apt_install", step, force_build, hidden)


def _install(
    label: str,
    installer: Any,
    indexes: tuple[str | None, str | None, str | None],
    pre: bool,
    extra_options: str,
) -> images.PipInstall:
    find_links, index_url, extra_index_url = indexes
    return images.PipInstall(
        installer=installer,
        find_links=check.optional_text(find_links, f"{label}: find_links"),
        index_url=check.optional_text(index_url, f"{label}: index_url"),
        extra_index_url=check.optional_text(extra_index_url, f"{label}: extra_index_url"),
        pre=check.flag(pre, f"{label}: pre"),
        extra_options=check.options(extra_options, f"{label}: extra_options"),
    )


def _with(
    step: images.PipInstall, variables: dict[str, str], packages: tuple[str, ...] = ()
) -> images.PipInstall:
    return replace(step, env=variables, packages=packages)
