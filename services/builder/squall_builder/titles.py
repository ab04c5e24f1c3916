"""What steps are called in messages. Pure."""

from typing import Final, assert_never

from squall_contracts import images

TITLE_CHARACTERS: Final = 100


def titles(recipe: images.Recipe) -> tuple[str, ...]:
    """How the base and each step are called in messages: `pip_install('six')`."""
    return (_base_title(recipe.base), *(_title(step) for step in recipe.steps))


def _base_title(base: images.Base) -> str:
    match base:
        case images.DebianSlim():
            return f"debian_slim({base.python_version!r})"
        case images.Registry():
            return f"from_registry({base.reference!r})"
        case images.Dockerfile():
            return "from_dockerfile(...)"
        case images.Snapshot():
            return f"a snapshot of {base.container_id}"
        case _:
            assert_never(base)


def _title(step: images.Step) -> str:  # noqa: PLR0911 - one return a kind of step
    match step:
        case images.PipInstall():
            files = tuple(file.path.partition("-")[2] for file in step.requirements)
            name = "uv_pip_install" if step.installer == "uv" else "pip_install"
            return _called(name, (*step.packages, *files))
        case images.UvSync():
            return "uv_sync(...)"
        case images.AptInstall():
            return _called("apt_install", step.packages)
        case images.RunCommands():
            return _called("run_commands", step.commands)
        case images.DockerfileCommands():
            return _called("dockerfile_commands", step.lines)
        case images.SetEnv():
            return _called("env", tuple(step.values))
        case images.Workdir():
            return _called("workdir", (step.path,))
        case images.Entrypoint():
            return _called("entrypoint", step.argv)
        case images.Cmd():
            return _called("cmd", step.argv)
        case images.CopyFiles():
            return _called("copy", tuple(file.path for file in step.files))
        case images.RunFunction():
            return "run_function(...)"
        case _:
            assert_never(step)


def _called(name: str, arguments: tuple[str, ...]) -> str:
    inside = ", ".join(repr(argument) for argument in arguments)
    if len(inside) > TITLE_CHARACTERS:
        inside = f"{inside[:TITLE_CHARACTERS]}..."
    return f"{name}({inside})"
