"""Image steps that run or set something."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

from squall_contracts import images

from squall._image import check
from squall._image.baking import BakedFunction, check_function
from squall._image.chain import Chain
from squall._image.layers import Context, DockerfileLines
from squall._image.packages import UNSUPPORTED, Variables, build_env
from squall._image.secrets import ELSEWHERE, checked
from squall._modal import spellings
from squall.exception import InvalidError
from squall.file_pattern_matcher import Ignore, as_ignore

DAY_S: Final = 24 * 3600


class _FromDockerignore:
    """Leave out what the `.dockerignore` beside the Dockerfile or in the context says."""

    def __repr__(self) -> str:
        return "AUTO_DOCKERIGNORE"


AUTO_DOCKERIGNORE: Final = _FromDockerignore()


def build_context(
    label: str,
    context_dir: str | Path | None,
    ignore: Sequence[str] | Ignore | _FromDockerignore,
    named: Mapping[str, str | Path] | None = None,
) -> Context:
    """Where COPY finds its files, from the arguments of a step."""
    if not isinstance(named or {}, Mapping):
        raise InvalidError(f"{label}: context_files takes a dictionary, not {named!r}")
    return Context(
        None if context_dir is None else check.local_path(context_dir, f"{label}: context_dir"),
        None if isinstance(ignore, _FromDockerignore) else as_ignore(ignore, f"{label}: ignore"),
        tuple(
            (
                check.text(path, f"{label}: context_files").lstrip("/"),
                check.local_path(local, f"{label}: context_files"),
            )
            for path, local in (named or {}).items()
        ),
    )


class CommandSteps(Chain):
    """Commands, settings and functions run while building."""

    def run_commands(
        self,
        *commands: str | Sequence[str],
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        volumes: Mapping[str, Any] | None = None,
        gpu: Any = None,
        force_build: bool = False,
    ) -> Self:
        """Run shell commands, each as a layer of its own."""
        found = check.lines(commands, "run_commands: commands")
        variables = build_env("run_commands", env, gpu)
        hidden = checked("run_commands", secrets)
        check.not_offered("run_commands: volumes", volumes, UNSUPPORTED)
        if not found:
            return self
        step = images.RunCommands(commands=found, env=variables)
        return self._step("run_commands", step, force_build, hidden)

    def run_function(
        self,
        raw_f: Callable[..., Any],
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        volumes: Mapping[str, Any] | None = None,
        gpu: Any = None,
        cpu: float | None = None,
        memory: int | None = None,
        timeout: float = 3600,
        include_source: bool = True,
        force_build: bool = False,
        cloud: str | None = None,
        region: str | Sequence[str] | None = None,
        network_file_systems: Mapping[str, Any] | None = None,
    ) -> Self:
        """Run a Python function while building and keep what it leaves on disk.

        It runs again when its source, its arguments or the plain global values it uses change.
        `cpu` and `memory` have no effect: a build uses what its machine has. `timeout` in seconds.
        """
        check.not_offered("run_function: volumes", volumes, UNSUPPORTED)
        spellings.current(
            "run_function",
            {"cloud": cloud, "region": region, "network_file_systems": network_file_systems},
        )
        check_function(raw_f)
        baked = BakedFunction(
            raw_f,
            tuple(check.paths(args, "run_function: args")),
            dict(kwargs or {}),
            check.seconds(timeout, "run_function: timeout", DAY_S),
            check.flag(include_source, "run_function: include_source"),
            build_env("run_function", env, gpu),
        )
        return self._then(baked, force_build, checked("run_function", secrets))

    def dockerfile_commands(
        self,
        *dockerfile_commands: str | Sequence[str],
        context_files: Mapping[str, str | Path] | None = None,
        env: Variables | None = None,
        secrets: Sequence[Any] | None = None,
        gpu: Any = None,
        context_dir: str | Path | None = None,
        force_build: bool = False,
        ignore: Sequence[str] | Ignore | _FromDockerignore = AUTO_DOCKERIGNORE,
        build_args: Mapping[str, str] | None = None,
    ) -> Self:
        """Append Dockerfile instructions.

        COPY finds its files in `context_dir` (None: the working directory), or in `context_files`,
        which maps paths in the build context to local files.
        """
        label = "dockerfile_commands"
        lines = check.lines(dockerfile_commands, f"{label}: commands")
        build_env(label, None, gpu)
        check.not_offered(f"{label}: secrets", secrets, ELSEWHERE)
        check.not_offered(f"{label}: env", env, "use build_args or the ENV instruction")
        arguments = check.variables(build_args or {}, f"{label}: build_args")
        context = build_context(label, context_dir, ignore, context_files)
        if not lines:
            return self
        return self._then(DockerfileLines(lines, context, arguments), force_build)

    def env(self, vars: Mapping[str, str]) -> Self:
        """Set environment variables, for later steps and for containers."""
        values = check.variables(vars, "env: vars")
        return self._step("env", images.SetEnv(values=values)) if values else self

    def workdir(self, path: str | PurePosixPath) -> Self:
        """Set the working directory of later steps and of containers."""
        place = check.remote_path(path, "workdir: path").rstrip("/") or "/"
        return self._step("workdir", images.Workdir(path=place))

    def entrypoint(self, entrypoint_commands: Sequence[str]) -> Self:
        """Set the program that starts a container's command; it must `exec` what it is given."""
        argv = check.argv(entrypoint_commands, "entrypoint: entrypoint_commands")
        return self._step("entrypoint", images.Entrypoint(argv=argv))

    def cmd(self, cmd: Sequence[str]) -> Self:
        """Set the default command of sandboxes."""
        return self._step("cmd", images.Cmd(argv=check.argv(cmd, "cmd: cmd")))

    def shell(self, shell_commands: Sequence[str]) -> Self:
        """Set the shell that later commands run in, such as `["/bin/bash", "-c"]`."""
        argv = check.argv(shell_commands, "shell: shell_commands")
        line = f"SHELL {json.dumps(argv)}"
        return self._step("shell", images.DockerfileCommands(lines=(line,)))
