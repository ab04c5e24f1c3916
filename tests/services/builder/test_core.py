"""From recipes to Dockerfiles: what must hold for any recipe."""

import re
import shlex
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from squall_builder.core import BEFORE, BadRecipeError, Plan, needs_docker, plan
from squall_builder.lines import Options, quoted
from squall_contracts import images
from squall_contracts.dockerfile import instructions
from squall_contracts.images import image_id
from squall_contracts.message import decode, encode
from squall_contracts.secrets import StepSecret

from .recipes import HIDDEN_RECIPES, RECIPES, STEPS, context_file

BARE = Options(base_image="base", base_complete=True)
SNAPSHOT = images.Snapshot(snapshot_id="sn-1", container_id="ct-1", python_version="3.11")
OPTIONS = st.builds(
    Options,
    base_image=st.just("base"),
    base_complete=st.booleans(),
    ca_bundle=st.booleans(),
    arguments=st.sampled_from([(), ("PIP_INDEX_URL",)]),
    copy_uv=st.booleans(),
    copy_site=st.booleans(),
)


def debian(*steps: images.Step) -> images.Recipe:
    return images.Recipe(base=images.DebianSlim(python_version="3.11"), steps=steps)


def lines(*steps: images.Step) -> list[str]:
    return plan(debian(*steps), BARE).dockerfile.splitlines()


@given(RECIPES, OPTIONS)
def test_the_same_recipe_gives_the_same_dockerfile(recipe: images.Recipe, options: Options) -> None:
    again = decode(encode(recipe), images.Recipe)
    assert plan(recipe, options) == plan(again, options)


@given(RECIPES, OPTIONS)
def test_every_dockerfile_step_belongs_to_a_recipe_step_in_order(
    recipe: images.Recipe, options: Options
) -> None:
    planned = plan(recipe, options)
    assert len(planned.owners) == len(instructions(planned.dockerfile))
    assert list(planned.owners) == sorted(planned.owners)
    assert planned.owners[0] == 0
    assert len(planned.titles) == len(recipe.steps) + 1
    assert max(planned.owners) <= len(recipe.steps)


@given(RECIPES, OPTIONS)
def test_every_stage_declares_what_the_network_needs(
    recipe: images.Recipe, options: Options
) -> None:
    found = [(i.keyword, i.arguments) for i in instructions(plan(recipe, options).dockerfile)]
    for place, (keyword, _) in enumerate(found):
        if keyword == "FROM":
            after = found[place + 1 : place + 3]
            assert (("COPY", ".squall/ca.pem /.squall/ca.pem") in after) == options.ca_bundle
            assert (("ARG", "PIP_INDEX_URL") in after) == bool(options.arguments)


@given(RECIPES, OPTIONS)
def test_everything_copied_is_in_the_context(recipe: images.Recipe, options: Options) -> None:
    planned = plan(recipe, options)
    assert all(not file.path.startswith("/") for file in planned.context)
    assert (".squall/uv" in planned.dockerfile) <= planned.uses_uv
    assert (".squall/site/" in planned.dockerfile) == planned.uses_site
    for number, step in enumerate(recipe.steps, 1):
        place = f".squall/step{number}/"
        held = any(file.path.startswith(place) for file in planned.context)
        assert held == (place in planned.dockerfile), step


@given(HIDDEN_RECIPES, OPTIONS)
def test_steps_with_secrets_are_cut_out_and_everything_else_stays_in_order(
    recipe: images.Recipe, options: Options
) -> None:
    planned = plan(recipe, options)
    bare = plan(_without_secrets(recipe), options)
    texts = [planned.dockerfile]
    for number, step in enumerate(planned.hidden, 1):
        assert step.secrets == images.step_secrets(recipe.steps[step.owner - 1])
        assert len(step.owners) == len(instructions(step.then))
        texts.append(f"RUN {step.command}\n")
        if step.then:
            lead, _, rest = step.then.partition(f"FROM ${BEFORE}\n")
            assert lead == f"ARG {BEFORE}\n"
            assert planned.owner(1, number) == step.owner
            texts.append("\n".join(_beyond_arguments(rest.split("\n"))))
    assert "".join(texts) == bare.dockerfile
    with_secrets = [n for n, each in enumerate(recipe.steps, 1) if images.step_secrets(each)]
    assert sorted({step.owner for step in planned.hidden}) == with_secrets


def _without_secrets(recipe: images.Recipe) -> images.Recipe:
    kept: list[Any] = [
        msgspec.structs.replace(step, secrets=()) if images.step_secrets(step) else step
        for step in recipe.steps
    ]
    return msgspec.structs.replace(recipe, steps=tuple(kept))


def _beyond_arguments(lines: list[str]) -> list[str]:
    while lines[0].startswith("ARG "):
        lines = lines[1:]
    return lines


def test_arguments_of_a_dockerfile_go_on_after_a_step_with_secrets() -> None:
    arguments = images.DockerfileCommands(lines=("ARG WHO=me",), build_args={"WHO": "you"})
    hidden = images.RunCommands(commands=("a",), secrets=(StepSecret(name="s"),))
    after = images.RunCommands(commands=("b",))
    planned = plan(debian(arguments, hidden, after), BARE)
    assert planned.hidden[0].then == f"ARG {BEFORE}\nFROM ${BEFORE}\nARG WHO=me\nRUN b\n"


@given(RECIPES, STEPS)
def test_one_more_step_only_appends(recipe: images.Recipe, step: images.Step) -> None:
    longer = msgspec.structs.replace(recipe, steps=(*recipe.steps, step))
    assert plan(longer, BARE).dockerfile.startswith(plan(recipe, BARE).dockerfile)


@given(RECIPES, RECIPES)
def test_recipes_that_differ_have_ids_that_differ(one: images.Recipe, other: images.Recipe) -> None:
    assert (image_id(one) == image_id(other)) == (_named(one) == _named(other))


def _named(recipe: images.Recipe) -> images.Recipe:
    """What counts of a recipe: not a pickle's bytes, nor the modules beside it."""
    empty = context_file("")
    return msgspec.structs.replace(
        recipe,
        steps=tuple(
            msgspec.structs.replace(step, serialized=empty, files=())
            if isinstance(step, images.RunFunction)
            else step
            for step in recipe.steps
        ),
    )


@given(RECIPES, STEPS)
def test_the_order_of_steps_counts(recipe: images.Recipe, step: images.Step) -> None:
    other = images.Workdir(path="/elsewhere")
    one = msgspec.structs.replace(recipe, steps=(*recipe.steps, step, other))
    two = msgspec.structs.replace(recipe, steps=(*recipe.steps, other, step))
    assert (image_id(one) == image_id(two)) == (step == other)


def test_ids_stay_what_they_are() -> None:
    """Every image out there is named so: a change here builds them all anew."""
    recipe = debian(
        images.AptInstall(packages=("jq",)),
        images.PipInstall(packages=("six",)),
        images.SetEnv(values={"A": "1"}),
        images.CopyFiles(files=(context_file("/root/a.txt", "a"),)),
        images.RunFunction(serialized=context_file("function.pkl", "x"), source_sha256="s"),
    )
    assert image_id(debian()) == "im-7f43b3140bf8b2fde1bd55"
    assert image_id(recipe) == "im-fc830500fb4601bdeee387"


@given(st.text(st.characters(blacklist_characters="\0\n\r", codec="utf-8"), min_size=1))
def test_quoted_text_is_one_word_of_a_shell(text: str) -> None:
    assert shlex.split(quoted(text)) == [text]


def test_steps_become_the_lines_one_expects() -> None:
    found = lines(
        images.SetEnv(values={"A": "it's $5"}),
        images.PipInstall(packages=("six", "a>1"), pre=True, env={"K": "v w"}),
        images.RunCommands(commands=("one\ntwo",), env={"K": "v"}),
        images.Workdir(path="/a $b"),
    )
    assert found[0] == "FROM base"
    assert found[1] == "ENV A='it'\"'\"'s $5'"
    assert found[2].startswith("RUN export K='v w' && PIP_ROOT_USER_ACTION=ignore")
    assert found[2].endswith("python -m pip install --no-cache-dir --pre six 'a>1'")
    assert found[3] == 'RUN ["/bin/sh", "-c", "export K=v && one\\ntwo"]'
    assert found[4] == "WORKDIR /a \\$b"


def test_pip_after_uv_sync_goes_by_uv_because_its_environment_has_no_pip() -> None:
    found = lines(
        images.UvSync(project=(context_file("pyproject.toml"),)),
        images.PipInstall(packages=("six",)),
    )
    assert sum("COPY .squall/uv" in line for line in found) == 1
    assert found[-1].startswith("RUN /.uv/uv pip install")


def test_files_go_where_they_belong_and_directories_that_exist_keep_their_modes() -> None:
    planned: Plan = plan(
        debian(
            images.CopyFiles(files=(context_file("/tmp/a"), context_file("/etc/b/c"))),
            images.CopyFiles(files=(context_file("/opt/tmp/x"), context_file("/opt/tmp/y/z"))),
        ),
        BARE,
    )
    assert planned.dockerfile.splitlines()[1:] == [
        'COPY [".squall/step1/", "/"]',
        'COPY [".squall/step2/", "/opt/tmp/"]',
    ]
    assert [file.path for file in planned.context] == [
        ".squall/step1/etc/b/c",
        ".squall/step1/tmp/a",
        ".squall/step2/x",
        ".squall/step2/y/z",
    ]
    assert planned.directory_modes[".squall/step1/tmp"] == 0o1777
    assert not any(path.startswith(".squall/step2") for path in planned.directory_modes)


@pytest.mark.parametrize("path", ["../up", "/abs", "a/../../b"])
def test_a_context_file_that_leaves_the_context_is_refused(path: str) -> None:
    step = images.DockerfileCommands(lines=("COPY a /b",), context=(context_file(path),))
    with pytest.raises(BadRecipeError, match="leaves the build context"):
        plan(debian(step), BARE)


def test_two_values_of_one_build_argument_are_refused() -> None:
    steps = [
        images.DockerfileCommands(lines=("ARG A",), build_args={"A": value}) for value in ("1", "2")
    ]
    with pytest.raises(BadRecipeError, match="A two values"):
        plan(debian(*steps), BARE)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (debian(images.AptInstall(packages=("jq",))), r"apt_install\('jq'\)"),
        (debian(images.RunCommands(commands=("ls",))), r"run_commands\('ls'\)"),
        (debian(images.DockerfileCommands(lines=("RUN ls",))), "dockerfile_commands"),
        (debian(images.Entrypoint(argv=("a",))), "entrypoint"),
        (debian(images.CopyFiles(files=(context_file("/etc/a"),))), "copy"),
        (images.Recipe(base=images.Registry(reference="r")), "from_registry"),
        (images.Recipe(base=images.Dockerfile(text="FROM x")), "from_dockerfile"),
        (images.Recipe(base=SNAPSHOT), "a snapshot of ct-1"),
    ],
)
def test_what_the_process_runtime_refuses_names_the_step_and_docker(
    recipe: images.Recipe, named: str
) -> None:
    refusal = needs_docker(recipe)
    assert refusal is not None
    assert "\n" not in refusal
    assert re.match(f"{named}.* needs Docker: ", refusal)


def test_the_process_runtime_takes_python_steps() -> None:
    assert (
        needs_docker(
            debian(
                images.PipInstall(packages=("six",)),
                images.UvSync(project=()),
                images.SetEnv(values={"A": "1"}),
                images.Workdir(path="/root/x"),
                images.CopyFiles(files=(context_file("/root/a"),)),
            )
        )
        is None
    )
