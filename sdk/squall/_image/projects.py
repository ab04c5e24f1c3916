"""Images with the dependencies of a project that another tool manages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from squall_contracts import images

from squall._image import check, repos
from squall._image.chain import Chain
from squall._image.layers import Copied, LocalFile
from squall._image.packages import Variables, build_env
from squall._image.secrets import checked
from squall.exception import InvalidError

PLACE: Final = "/tmp/poetry-project"


class ProjectSteps(Chain):
    """poetry, and private repositories."""

    def poetry_install_from_file(
        self,
        poetry_pyproject_toml: str | Path,
        poetry_lockfile: str | Path | None = None,
        *,
        ignore_lockfile: bool = False,
        force_build: bool = False,
        with_: Sequence[str] = (),
        without: Sequence[str] = (),
        only: Sequence[str] = (),
        poetry_version: str | None = "latest",
        old_installer: bool = False,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
    ) -> Self:
        """Install what a local poetry project depends on, but not the project. `poetry_lockfile` None:
        the `poetry.lock` beside the pyproject.toml, unless `ignore_lockfile`. `poetry_version` None:
        the image has poetry already."""
        label = "poetry_install_from_file"
        project = check.local_path(poetry_pyproject_toml, f"{label}: poetry_pyproject_toml")
        variables = build_env(label, env, gpu)
        image = self._then(Copied(LocalFile(project, f"{PLACE}/pyproject.toml")), force_build)
        lock = project.with_name("poetry.lock")
        if poetry_lockfile is not None:
            lock = check.local_path(poetry_lockfile, f"{label}: poetry_lockfile")
        if not check.flag(ignore_lockfile, f"{label}: ignore_lockfile"):
            image = image._then(Copied(LocalFile(lock, f"{PLACE}/poetry.lock")))
        commands = []
        if poetry_version is not None:
            wanted = "poetry" if poetry_version == "latest" else f"poetry=={poetry_version}"
            commands.append(f"python -m pip install {check.quoted(wanted)}")
        if check.flag(old_installer, f"{label}: old_installer"):
            commands.append("poetry config installer.modern-installation false")
        words = ["poetry install --no-root --no-interaction"]
        for option, groups in (("with", with_), ("without", without), ("only", only)):
            named = check.argv(groups, f"{label}: {option}")
            words += [f"--{option} {check.quoted(','.join(named))}"] if named else []
        commands.append(
            f"cd {PLACE} && poetry config virtualenvs.create false && {' '.join(words)}"
        )
        step = images.RunCommands(commands=tuple(commands), env=variables)
        return image._step(label, step, force_build, checked(label, secrets))

    def pip_install_private_repos(
        self,
        *repositories: str,
        git_user: str = "",
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        force_build: bool = False,
    ) -> Self:
        """Install packages from private repositories, such as `github.com/us/private@1.2`, with pip
        and git. A secret must have GITHUB_TOKEN or GITLAB_TOKEN, whichever the hosts need; git gets
        it from a credential helper, so that it stands in no command line and no file."""
        label = "pip_install_private_repos"
        hidden = checked(label, secrets)
        wanted = repos.parsed(label, repositories)
        user = check.text(git_user, f"{label}: git_user")
        if not hidden:
            raise InvalidError(
                f"{label}: secrets takes a secret with {', '.join(repos.tokens(wanted))}"
            )
        if not wanted:
            return self
        indexes = {
            "find_links": find_links,
            "index_url": index_url,
            "extra_index_url": extra_index_url,
        }
        options = repos.pip_options(label, indexes, pre, extra_options)
        command = repos.command(wanted, options)
        variables = repos.git_variables(wanted, user) | build_env(label, env, gpu)
        image = self._step(label, images.AptInstall(packages=("git",)))
        step = images.RunCommands(commands=(command,), env=variables)
        return image._step(label, step, force_build, hidden)
