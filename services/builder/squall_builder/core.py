"""From a recipe to what is built: Dockerfile text, context and who owns which line. Pure."""

import posixpath
from typing import Final

import msgspec
from squall_contracts import images
from squall_contracts.dockerfile import instructions

from squall_builder.lines import (
    CONTEXT,
    IN_IMAGE,
    Options,
    adds_python,
    base_lines,
    bring_uv,
    copy_root,
    needs_uv,
    step_lines,
)
from squall_builder.titles import titles

DIRECTORY_MODES: Final = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/root": 0o700}
"""COPY gives directories that exist the modes of the context: these must keep their own."""
DOCKER_ONLY: Final = (images.AptInstall, images.RunCommands, images.DockerfileCommands)


class Piece(msgspec.Struct, frozen=True):
    """Dockerfile lines that belong together."""

    owner: int
    """0: the base, n: the nth step of the recipe."""
    text: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    dockerfile: str
    context: tuple[images.ContextFile, ...]
    """Files of the build context from the code store; `path` is where they lie in it."""
    directory_modes: dict[str, int]
    """Modes of directories of the context; 0o755 where it has none."""
    owners: tuple[int, ...]
    """For each Dockerfile step in order: 0 for the base, n for the nth step of the recipe."""
    titles: tuple[str, ...]
    """What to call the base and each step in messages."""
    build_args: dict[str, str]
    uses_uv: bool
    uses_site: bool

    def owner(self, docker_step: int) -> int:
        """The recipe step behind a Dockerfile step (from 1); past the last: the last."""
        place = min(max(docker_step, 1), len(self.owners))
        return self.owners[place - 1]


class BadRecipeError(ValueError):
    """Raised when a recipe can't be built as it stands; names the step."""


def plan(recipe: images.Recipe, options: Options) -> Plan:
    """The Dockerfile of a recipe and what its context must hold. Same recipe, same text."""
    pieces = [Piece(0, line) for line in base_lines(recipe.base, options)]
    context = _base_context(recipe.base)
    uses_uv = adds_python(recipe.base)
    uses_site = False
    for number, step in enumerate(recipe.steps, 1):
        before = recipe.steps[: number - 1]
        if needs_uv(step, before) and not uses_uv:
            uses_uv = True
            pieces.append(Piece(number, bring_uv(options)))
        uses_site = uses_site or isinstance(step, images.RunFunction)
        pieces += [Piece(number, text) for text in step_lines(step, number, before, options)]
        context += _step_context(step, number)
    network = _network(options)
    texts = [_after_each_from(piece.text, network) for piece in pieces]
    return Plan(
        dockerfile="".join(f"{text}\n" for text in texts),
        context=_unique(context),
        directory_modes=_kept_modes(recipe),
        owners=tuple(
            piece.owner
            for piece, text in zip(pieces, texts, strict=True)
            for _ in instructions(text)
        ),
        titles=titles(recipe),
        build_args=_build_args(recipe),
        uses_uv=uses_uv,
        uses_site=uses_site,
    )


def _network(options: Options) -> str:
    lines = [f"COPY {CONTEXT}/ca.pem {IN_IMAGE}/ca.pem"] if options.ca_bundle else []
    return "\n".join([*lines, *(f"ARG {name}" for name in options.arguments)])


def _after_each_from(text: str, addition: str) -> str:
    if not addition:
        return text
    lines = text.split("\n")
    for instruction in reversed(instructions(text)):
        if instruction.keyword == "FROM":
            lines.insert(instruction.end_line, addition)
    return "\n".join(lines)


def _base_context(base: images.Base) -> list[images.ContextFile]:
    return list(base.context) if isinstance(base, images.Dockerfile) else []


def _step_context(step: images.Step, number: int) -> list[images.ContextFile]:
    place = f"{CONTEXT}/step{number}"

    def at(path: str, file: images.ContextFile) -> images.ContextFile:
        return msgspec.structs.replace(file, path=f"{place}/{path}")

    match step:
        case images.PipInstall():
            return [at(file.path, file) for file in step.requirements]
        case images.UvSync():
            return [at(file.path, file) for file in step.project]
        case images.DockerfileCommands():
            return list(step.context)
        case images.CopyFiles() if step.files:
            root = copy_root(step)
            return [at(posixpath.relpath(file.path, root), file) for file in step.files]
        case images.RunFunction():
            modules = [at(f"files{file.path}", file) for file in step.files]
            return [at("function.pkl", step.serialized), *modules]
        case _:
            return []


def _unique(context: list[images.ContextFile]) -> tuple[images.ContextFile, ...]:
    """Each path once, sorted. BadRecipeError: a path is unsafe, or two steps disagree on it."""
    found: dict[str, images.ContextFile] = {}
    for file in context:
        if file.path.startswith("/") or ".." in file.path.split("/"):
            raise BadRecipeError(f"context file {file.path!r} leaves the build context")
        if found.setdefault(file.path, file).sha256 != file.sha256:
            raise BadRecipeError(f"two steps put different files at {file.path!r} in the context")
    return tuple(found[path] for path in sorted(found))


def _build_args(recipe: images.Recipe) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in (recipe.base, *recipe.steps):
        if isinstance(part, images.Dockerfile | images.DockerfileCommands):
            for name, value in part.build_args.items():
                if given.setdefault(name, value) != value:
                    raise BadRecipeError(f"build_args gives {name} two values: rename one")
    return given


def needs_docker(recipe: images.Recipe) -> str | None:
    """Why the process runtime can't make this image, naming the step; None: it can."""
    names = titles(recipe)
    if not isinstance(recipe.base, images.DebianSlim):
        return f"{names[0]} needs Docker: the process runtime has this machine's Python only"
    for name, step in zip(names[1:], recipe.steps, strict=True):
        if isinstance(step, DOCKER_ONLY):
            return f"{name} needs Docker: without it the step would change this machine"
        if isinstance(step, images.Entrypoint):
            return f"{name} needs Docker: the process runtime starts Python itself"
        if isinstance(step, images.CopyFiles):
            for file in step.files:
                if not file.path.startswith("/root/"):
                    return f"{name} needs Docker: the process runtime has files under /root only"
    return None


def _kept_modes(recipe: images.Recipe) -> dict[str, int]:
    """Modes of context directories that COPY would otherwise take from directories that exist."""
    kept: dict[str, int] = {}
    for number, step in enumerate(recipe.steps, 1):
        if isinstance(step, images.CopyFiles) and step.files:
            root = copy_root(step)
            for path, mode in DIRECTORY_MODES.items():
                if path.startswith(root):
                    inner = posixpath.relpath(path, root)
                    kept[posixpath.normpath(f"{CONTEXT}/step{number}/{inner}")] = mode
    return kept
