"""From a recipe to what is built: Dockerfile text, context and who owns which line. Pure."""

import posixpath
from typing import Final

import msgspec
from squall_contracts import images
from squall_contracts.dockerfile import instructions
from squall_contracts.secrets import StepSecret

from squall_builder.lines import (
    CONTEXT,
    IN_IMAGE,
    Options,
    adds_python,
    base_lines,
    bring_uv,
    command_of,
    copy_root,
    needs_uv,
    step_lines,
)
from squall_builder.titles import titles

DIRECTORY_MODES: Final = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/root": 0o700}
"""COPY gives directories that exist the modes of the context: these must keep their own."""
BEFORE: Final = "SQUALL_BEFORE"
"""Build argument of a Dockerfile that goes on with an image."""
DOCKER_ONLY: Final = (images.AptInstall, images.RunCommands, images.DockerfileCommands)


class Piece(msgspec.Struct, frozen=True):
    """Dockerfile lines that belong together."""

    owner: int
    """0: the base, n: the nth step of the recipe."""
    text: str
    secrets: tuple[StepSecret, ...] = ()
    """It is a RUN that has these."""


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs with secrets, and the Dockerfile that follows it."""

    command: str
    owner: int
    secrets: tuple[StepSecret, ...]
    then: str
    """Goes on with the image the command left; empty: the next one follows at once."""
    owners: tuple[int, ...]
    """Of the steps of `then`."""


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
    hidden: tuple[Hidden, ...] = ()
    """What comes after `dockerfile` where a step has secrets."""

    def owner(self, docker_step: int, part: int = 0) -> int:
        """The recipe step behind a step (from 1) of a Dockerfile, the first or the one of that
        hidden step; past the last: the last."""
        owners = self.hidden[part - 1].owners if part else self.owners
        return owners[min(max(docker_step, 1), len(owners)) - 1]

    def dockerfiles(self) -> tuple[tuple[str, str], ...]:
        """Those of all parts, as they are called in the context."""
        return tuple(
            (dockerfile_name(part), text) for part, text in enumerate(self.texts()) if text
        )

    def texts(self) -> tuple[str, ...]:
        """The Dockerfiles of all parts; a part may have none."""
        return (self.dockerfile, *(step.then for step in self.hidden))


def dockerfile_name(part: int) -> str:
    return f"{CONTEXT}/Dockerfile{part or ''}"


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
        pieces += [
            Piece(number, text, images.step_secrets(step) if text.startswith("RUN ") else ())
            for text in step_lines(step, number, before, options)
        ]
        context += _step_context(step, number)
    first, *rest = _parts(pieces)
    dockerfile, owners = _dockerfile(first, _network(options))
    return Plan(
        dockerfile=dockerfile,
        context=_unique(context),
        directory_modes=_kept_modes(recipe),
        owners=owners,
        titles=titles(recipe),
        build_args=_build_args(recipe),
        uses_uv=uses_uv,
        uses_site=uses_site,
        hidden=_hidden(first, rest, options),
    )


def _parts(pieces: list[Piece]) -> list[list[Piece]]:
    """Cut before each piece that has secrets."""
    parts: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.secrets:
            parts.append([])
        parts[-1].append(piece)
    return parts


def _dockerfile(pieces: list[Piece], network: str) -> tuple[str, tuple[int, ...]]:
    """The text, and for each of its steps who owns it."""
    texts = [_after_each_from(piece.text, network) for piece in pieces]
    owners = tuple(
        piece.owner for piece, text in zip(pieces, texts, strict=True) for _ in instructions(text)
    )
    return "".join(f"{text}\n" for text in texts), owners


def _hidden(first: list[Piece], rest: list[list[Piece]], options: Options) -> tuple[Hidden, ...]:
    found: list[Hidden] = []
    earlier = list(first)
    for secret, *then in rest:
        text = ""
        owners: tuple[int, ...] = ()
        if then:
            begin = [f"ARG {BEFORE}", f"FROM ${BEFORE}", *_arguments(earlier, options)]
            lead = [Piece(secret.owner, line) for line in begin]
            text, owners = _dockerfile([*lead, *then], "")
        found.append(
            Hidden(
                command=command_of(secret.text),
                owner=secret.owner,
                secrets=secret.secrets,
                then=text,
                owners=owners,
            )
        )
        earlier += then
    return tuple(found)


def _arguments(earlier: list[Piece], options: Options) -> list[str]:
    """Arguments the stage so far has declared, for the Dockerfile that goes on with it."""
    declared: list[str] = []
    for piece in earlier:
        for each in instructions(piece.text):
            if each.keyword == "FROM":
                declared = []
            elif each.keyword == "ARG":
                declared.append(f"ARG {each.arguments}")
    return list(dict.fromkeys([*(f"ARG {name}" for name in options.arguments), *declared]))


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
