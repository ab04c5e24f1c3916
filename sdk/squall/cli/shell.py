"""`squall shell`: a terminal in a container like a function's, in one that runs, or of an image."""

import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer

from squall.cli import refs
from squall.cli.modal import Modal
from squall.cli.tables import Env
from squall.exception import InvalidError

if TYPE_CHECKING:
    from squall._apps.spec import Plan
    from squall.app import App
    from squall.function import Function
    from squall.image import Image

ANY_SHELL = "command -v bash >/dev/null 2>&1 && exec bash; exec sh"
DAY_S = 24 * 3600

Pty = Annotated[
    bool | None,
    typer.Option(
        "--pty/--no-pty", help="Whether it gets a terminal; default: as this command has."
    ),
]


def shell(
    reference: Annotated[
        str | None,
        typer.Argument(
            metavar="[REF]",
            help="FILE::function, FILE::Class.method, a container (ct-…) or an image (im-…); "
            "without one, a plain image.",
        ),
    ] = None,
    *,
    cmd: Annotated[str, typer.Option("--cmd", "-c", help="What to run, by sh.")] = ANY_SHELL,
    image: Annotated[
        str | None, typer.Option("--image", help="Without a REF: an image of a registry.")
    ] = None,
    add_python: Annotated[
        str | None, typer.Option("--add-python", help="With --image: the Python to add to it.")
    ] = None,
    volume: Annotated[
        list[str] | None, typer.Option("--volume", help="Without a REF: mount it at /mnt/NAME.")
    ] = None,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", help="Without a REF: its variables are set.")
    ] = None,
    cpu: Annotated[float | None, typer.Option("--cpu", help="Without a REF: cores.")] = None,
    memory: Annotated[int | None, typer.Option("--memory", help="Without a REF: MiB.")] = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="Without a REF: TYPE[:COUNT].")] = None,
    pty: Pty = None,
    modal: Modal = False,
    module: Annotated[bool, typer.Option("-m", help="Take REF as a module's name.")] = False,
    env: Env = None,
) -> None:
    """Open a terminal in a container; it ends with the command, whose exit status this one's is."""
    argv = ("/bin/sh", "-c", cmd)
    described = {
        "--image": image, "--volume": volume, "--secret": secret,
        "--cpu": cpu, "--memory": memory, "--gpu": gpu,
    }  # fmt: skip
    given = [name for name, value in described.items() if value is not None]
    if reference is not None and given:
        raise InvalidError(f"{given[0]} is for a shell without a REF: leave one of them out")
    if add_python is not None and image is None:
        raise InvalidError("--add-python is for --image: name one")
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    if reference is not None and reference.startswith("ct-"):
        raise typer.Exit(in_container(reference, argv, pty))
    image_id = ""
    if reference is not None and reference.startswith("im-"):
        image_id = reference
    if reference is not None and not image_id:
        function = _declared(refs.parse(reference, as_module=module))
    else:
        function = _described(
            _image(image, add_python),
            volumes=volume or [], secrets=secret or [], cpu=cpu, memory=memory, gpu=gpu, env=env,
        )  # fmt: skip
    raise typer.Exit(_new_container(function, argv, pty, env, image_id))


def in_container(container_id: str, argv: tuple[str, ...], pty: bool | None) -> int:
    """Run `argv` in a running container and talk to it; its exit status."""
    from squall._terminal.keyboard import Keyboard
    from squall._terminal.visiting import visit
    from squall.cli import control

    keyboard = Keyboard(terminal=pty)
    try:
        ended = control.run(lambda client: visit(client, container_id, argv, keyboard))
    finally:
        keyboard.close()
    if ended.reason:
        sys.stderr.write(f"squall: {ended.reason}\n")
    code: int = ended.code
    return code


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _declared(reference: refs.Reference) -> "Function[..., object, object]":
    """The function or class that was named, else the only one there is."""
    from squall._apps.loader import find_apps
    from squall.cli import loading

    found: dict[str, Function[..., object, object]] = {}
    for variable, app in find_apps(loading.module(reference)).items():
        for name, function in app.declared.items():
            found.setdefault(name, function)
            found[f"{variable}.{name}"] = function
            for method in function.options.methods:
                found.setdefault(f"{name}.{method.name}", function)
    distinct = {id(each): each for each in found.values()}
    if reference.name is None and len(distinct) == 1:
        return next(iter(distinct.values()))
    if reference.name is None or reference.name not in found:
        names = ", ".join(sorted({each.name for each in distinct.values()})) or "none"
        raise InvalidError(f"{reference.place}: name a function, as in FILE::NAME; it has: {names}")
    return found[reference.name]


def _image(tag: str | None, add_python: str | None) -> "Image":
    from squall.image import Image

    if tag is None:
        return Image.debian_slim()
    return Image.from_registry(tag, add_python=add_python)


def _described(
    image: "Image",
    *,
    volumes: list[str],
    secrets: list[str],
    cpu: float | None,
    memory: int | None,
    gpu: str | None,
    env: str | None,
) -> "Function[..., object, object]":
    import squall
    from squall._terminal.holding import hold

    app = squall.App("shell", image=image, include_source=False)
    return app.function(
        volumes={
            f"/mnt/{name}": squall.Volume.from_name(name, environment_name=env) for name in volumes
        },
        secrets=[squall.Secret.from_name(name, environment_name=env) for name in secrets],
        cpu=cpu,
        memory=memory,
        gpu=gpu,
    )(hold)


def _new_container(
    function: "Function[..., object, object]",
    argv: tuple[str, ...],
    pty: bool | None,
    env: str | None,
    image_id: str,
) -> int:
    """Run `argv` in a container made as the function's are; its exit status."""
    import squall
    from squall._apps.running import RunContext
    from squall._terminal.keyboard import Keyboard
    from squall.cli import servers

    app, held = _like(function)
    with servers.for_this_run(detached=False, asks_help=False) as server:
        server.ready(quiet=False)
        keyboard = Keyboard(terminal=pty)
        context = RunContext(
            app,
            name=app.name,
            detach=False,
            environment=env,
            interactive=True,
            keyboard=keyboard,
            shape=lambda made: _hold_instead(made, image_id),
        )
        with squall.enable_output(), context:
            code = held.remote(argv)
    assert isinstance(code, int)
    return code


def _like(function: "Function[..., object, object]") -> "tuple[App, Function[..., object, object]]":
    """An app of one function with what containers of `function` have, and none of how it is called."""
    from squall_contracts.functions import Scaling

    import squall

    home = function.app
    assert home is not None, "it was declared here"
    options = replace(
        function.options,
        schedule=None,
        scaling=Scaling(max_containers=1),
        retry=None,
        timeout_s=float(DAY_S),
        startup_timeout_s=function.options.startup_timeout_s or function.options.timeout_s,
        max_inputs=1,
        target_inputs=None,
        batch=None,
        single_use=True,
        memory_snapshot=False,
        nonpreemptible=True,
        methods=(),
        parameters=(),
        web=None,
        serialized=False,
        is_generator=False,
        is_async=False,
    )
    app = squall.App(f"{home.name or 'app'}-shell"[:64], image=home.image)
    held = squall.Function._new(function.name, app=home, raw=function.raw, options=options)
    app._functions[held.name] = held
    return app, held


def _hold_instead(made: "Plan", image_id: str) -> None:
    """What the container runs is the command; the image may be one that is built already."""
    from squall._terminal.holding import hold

    [spec] = made.functions
    changed = msgspec.structs.replace(
        spec, module=hold.__module__, qualname=hold.__qualname__, serialized=None
    )
    if image_id:
        made.images.clear()
        changed = msgspec.structs.replace(changed, image_id=image_id)
    made.functions[0] = changed
