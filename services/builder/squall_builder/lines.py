"""Each base and step of a recipe as Dockerfile lines. Pure."""

import json
import posixpath
import re
from typing import Final, assert_never

import msgspec
from squall_contracts import images

CONTEXT: Final = ".squall"
"""Folder of the build context that holds what Squall itself puts there."""
IN_IMAGE: Final = "/.squall"
UV: Final = "/.uv/uv"
VENV: Final = "/.uv/.venv"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the builder knows beside the recipe; none of it is part of an image's name."""

    base_image: str
    """What `debian_slim` starts from."""
    base_complete: bool
    """Whether that base is known to have `python` and pip."""
    ca_bundle: bool = False
    """Whether the context holds a CA bundle, as .squall/ca.pem."""
    arguments: tuple[str, ...] = ()
    """Build arguments each stage declares: package indexes and the like."""
    copy_uv: bool = True
    """Whether the builder's own uv runs in the image; else pip installs one."""
    copy_site: bool = True
    """Whether the builder's own cloudpickle and msgspec run in the image; else pip gets them."""


def base_lines(base: images.Base, options: Options) -> list[str]:
    match base:
        case images.DebianSlim():
            lines = [f"FROM {options.base_image}"]
            checked = options.base_complete
        case images.Registry():
            lines = [f"FROM {base.reference}", *base.setup_commands]
            checked = False
        case images.Dockerfile():
            lines = [base.text.rstrip("\n")]
            checked = False
        case images.Snapshot():
            return [f"FROM {options.base_image}"]
        case _:
            assert_never(base)
    if isinstance(base, images.Registry | images.Dockerfile) and base.add_python is not None:
        lines += [bring_uv(options), *_add_python(base.add_python)]
    elif not checked:
        lines.append(_ENSURE_PYTHON)
    return lines


def adds_python(base: images.Base) -> bool:
    """Whether the base gets a Python that uv fetches."""
    return isinstance(base, images.Registry | images.Dockerfile) and base.add_python is not None


_ENSURE_PYTHON: Final = (
    "RUN command -v python >/dev/null 2>&1 || "
    '{ p=$(command -v python3) && ln -s "$p" /usr/local/bin/python; } || '
    '{ echo "ERROR: the base image has no python: give it add_python=" >&2; exit 1; }'
)


def _add_python(version: str) -> list[str]:
    place = "/usr/local/share/squall-python"
    return [
        f"ENV UV_PYTHON_INSTALL_DIR={place}",
        f"RUN {UV} python install {version} && "
        f"p=$({UV} python find --managed-python --no-project {version}) && "
        f'for n in python python3 pip; do ln -sf "$(dirname "$p")/$n" /usr/local/bin/$n; done && '
        f"find {place} -name EXTERNALLY-MANAGED -delete",
    ]


def bring_uv(options: Options) -> str:
    if options.copy_uv:
        return f"COPY {CONTEXT}/uv {UV}"
    return (
        "RUN python -m pip install --no-cache-dir uv && mkdir -p /.uv && "
        f'ln -s "$(command -v uv)" {UV}'
    )


def needs_uv(step: images.Step, before: tuple[images.Step, ...]) -> bool:
    """Whether a step runs uv: asked to, or because `uv_sync` put a venv without pip on PATH."""
    if isinstance(step, images.PipInstall):
        return step.installer == "uv" or synced(before)
    return isinstance(step, images.UvSync)


def synced(before: tuple[images.Step, ...]) -> bool:
    return any(isinstance(step, images.UvSync) for step in before)


def step_lines(  # noqa: PLR0911 - one return a kind of step
    step: images.Step, number: int, before: tuple[images.Step, ...], options: Options
) -> list[str]:
    match step:
        case images.PipInstall():
            return _pip_install(step, number, needs_uv(step, before))
        case images.UvSync():
            return _uv_sync(step, number)
        case images.AptInstall():
            return [_apt_install(step, options)]
        case images.RunCommands():
            return [_run(command, step.env) for command in step.commands]
        case images.DockerfileCommands():
            return ["\n".join(step.lines)]
        case images.SetEnv():
            pairs = " ".join(f"{name}={quoted(value)}" for name, value in step.values.items())
            return [f"ENV {pairs}"] if pairs else []
        case images.Workdir():
            return [f"WORKDIR {_escaped(step.path)}"]
        case images.Entrypoint():
            return [f"ENTRYPOINT {json.dumps(step.argv)}"]
        case images.Cmd():
            return [f"CMD {json.dumps(step.argv)}"]
        case images.CopyFiles():
            return _copy(step, number)
        case images.RunFunction():
            return _run_function(step, number, options)
        case _:
            assert_never(step)


def install_arguments(step: images.PipInstall, requirements: tuple[str, ...]) -> list[str]:
    """Options and packages of a pip or uv install, unquoted; extra options come apart at spaces."""
    words: list[str] = []
    for option, value in (
        ("--find-links", step.find_links),
        ("--index-url", step.index_url),
        ("--extra-index-url", step.extra_index_url),
    ):
        if value is not None:
            words += [option, value]
    for path in requirements:
        words += ["-r", path]
    return [*words, *step.packages]


def _pip_install(step: images.PipInstall, number: int, uv: bool) -> list[str]:
    lines = []
    paths: tuple[str, ...] = ()
    if step.requirements:
        place = f"{IN_IMAGE}/step{number}"
        lines.append(f"COPY {CONTEXT}/step{number}/ {place}/")
        paths = tuple(f"{place}/{file.path}" for file in step.requirements)
    words = " ".join(quoted(word) for word in install_arguments(step, paths))
    pre = (" --prerelease allow" if uv else " --pre") if step.pre else ""
    extra = f" {step.extra_options}" if step.extra_options else ""
    tool = (
        f'{UV} pip install --python "$(command -v python)" --break-system-packages --no-cache'
        " --compile-bytecode"
        if uv
        else "PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1"
        " PIP_DISABLE_PIP_VERSION_CHECK=1 python -m pip install --no-cache-dir"
    )
    return [*lines, f"RUN {_exported(step.env)}{tool}{pre}{extra} {words}"]


def sync_arguments(step: images.UvSync) -> list[str]:
    """Options of `uv sync`, unquoted."""
    words = ["--no-install-workspace", "--no-install-project", "--compile-bytecode"]
    if step.frozen:
        words.append("--frozen")
    for group in step.groups:
        words += ["--group", group]
    for extra in step.extras:
        words += ["--extra", extra]
    return words


def _uv_sync(step: images.UvSync, number: int) -> list[str]:
    words = " ".join(quoted(word) for word in sync_arguments(step))
    extra = f" {step.extra_options}" if step.extra_options else ""
    return [
        f"COPY {CONTEXT}/step{number}/ /.uv/",
        f"RUN {_exported(step.env)}UV_PROJECT_ENVIRONMENT={VENV} {UV} sync --project /.uv "
        f'--no-cache --python "$(command -v python)" {words}{extra}',
        f"ENV PATH={VENV}/bin:$PATH",
    ]


def _apt_install(step: images.AptInstall, options: Options) -> str:
    trust = f" -o Acquire::https::CaInfo={IN_IMAGE}/ca.pem" if options.ca_bundle else ""
    words = " ".join(quoted(package) for package in step.packages)
    return (
        f"RUN {_exported(step.env)}apt-get{trust} update && "
        f"DEBIAN_FRONTEND=noninteractive apt-get{trust} install -y {words} && "
        "rm -rf /var/lib/apt/lists/*"
    )


def _run(command: str, env: dict[str, str]) -> str:
    text = f"{_exported(env)}{command}"
    # The line-based syntax of a Dockerfile would change a command that spans lines.
    return f"RUN {json.dumps(['/bin/sh', '-c', text])}" if "\n" in text else f"RUN {text}"


def command_of(line: str) -> str:
    """What a RUN of ours runs."""
    text = line.removeprefix("RUN ")
    return str(json.loads(text)[-1]) if text.startswith('["/bin/sh"') else text


def _copy(step: images.CopyFiles, number: int) -> list[str]:
    if not step.files:
        return []
    target = f"{copy_root(step).rstrip('/')}/"
    place = f"{CONTEXT}/step{number}/"
    # Backslashes keep COPY from expanding `$` in the target.
    kept = re.sub(r"([\\$])", r"\\\1", target)
    return [f"COPY {json.dumps([place, kept])}"]


def copy_root(step: images.CopyFiles) -> str:
    """The deepest directory that holds all files of a step."""
    return posixpath.commonpath([posixpath.dirname(file.path) for file in step.files])


def _run_function(step: images.RunFunction, number: int, options: Options) -> list[str]:
    site = f"{IN_IMAGE}/site"
    lines = [f"COPY {CONTEXT}/site/ {site}/"]
    if not options.copy_site:
        lines.append(
            f"RUN python -m pip install --no-cache-dir --target {site} cloudpickle msgspec"
        )
    return [
        *lines,
        f"COPY {CONTEXT}/step{number}/ {IN_IMAGE}/step{number}/",
        f"RUN {_exported(step.env)}python {site}/run_function.py "
        f"{IN_IMAGE}/step{number} {step.timeout_s:g} image",
    ]


def _exported(env: dict[str, str]) -> str:
    if not env:
        return ""
    return f"export {' '.join(f'{name}={quoted(value)}' for name, value in env.items())} && "


def quoted(text: str) -> str:
    """One word for a shell, and for ENV, whatever it holds."""
    if re.fullmatch(r"[\w@%+=:,./-]+", text, re.ASCII):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _escaped(text: str) -> str:
    return re.sub(r"([\\$\"'])", r"\\\1", text)
