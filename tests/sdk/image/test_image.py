"""Images as users write them: what they become, what is refused, and when files are read."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from squall import Secret
from squall._image.secrets import in_environment
from squall.exception import InvalidError, ModuleNotMountable, NotFoundError
from squall.image import Image, python_source_entries, resolve
from squall_contracts import images
from squall_contracts.secrets import StepSecret


def base() -> Image:
    return Image.debian_slim("3.12")


def steps(image: Image) -> tuple[images.Step, ...]:
    return resolve(image).recipe.steps


def test_a_chain_becomes_a_recipe_in_its_order() -> None:
    image = (
        base()
        .apt_install("curl", ["jq"])
        .pip_install("b", ["a"], pre=True, env={"K": "v", "GONE": None})
        .uv_pip_install("c", extra_options="--no-deps")
        .run_commands("one", ["two", "three\nfour"])
        .env({"B": "2", "A": "1"})
        .workdir("/srv/./x/")
        .entrypoint(["tini", "--"])
        .cmd(["sleep"])
        .shell(["/bin/bash", "-c"])
    )
    assert steps(image) == (
        images.AptInstall(packages=("curl", "jq")),
        images.PipInstall(packages=("a", "b"), pre=True, env={"K": "v"}),
        images.PipInstall(packages=("c",), installer="uv", extra_options="--no-deps"),
        images.RunCommands(commands=("one", "two", "three\nfour")),
        images.SetEnv(values={"A": "1", "B": "2"}),
        images.Workdir(path="/srv/x"),
        images.Entrypoint(argv=("tini", "--")),
        images.Cmd(argv=("sleep",)),
        images.DockerfileCommands(lines=('SHELL ["/bin/bash", "-c"]',)),
    )


def test_an_image_is_named_by_its_secrets_and_never_by_their_values() -> None:
    def installed(*secrets: Secret) -> Image:
        return base().pip_install("six").run_commands("a", "b", secrets=list(secrets))

    one, two = Secret.from_dict({"B": "1", "A": "2"}), Secret.from_dict({"A": "3", "B": "4"})
    stored = Secret.from_name("s", required_keys=["K"])
    resolved = resolve(installed(one, stored))
    assert resolved.image_id == resolve(installed(two, stored)).image_id
    assert resolved.image_id != resolve(installed(stored)).image_id
    assert resolved.secrets == (one, stored)
    assert images.build_secrets(resolved.recipe) == (
        StepSecret(keys=("A", "B")),
        StepSecret(name="s", keys=("K",)),
    )
    there = in_environment(resolved.recipe, "staging")
    assert images.build_secrets(there)[1] == StepSecret(
        name="s", environment="staging", keys=("K",)
    )
    assert images.image_id(there) != resolved.image_id


def test_private_repositories_get_their_token_from_a_helper_and_no_command_line() -> None:
    token = Secret.from_name("git")
    image = base().pip_install_private_repos(
        "github.com/us/one@1.2", "github.com/us/two", git_user="me", secrets=[token]
    )
    install = steps(image)[-1]
    assert isinstance(install, images.RunCommands)
    assert install.commands[0].endswith(
        "git+https://github.com/us/one.git@1.2 git+https://github.com/us/two.git"
    )
    assert install.env["GIT_CONFIG_COUNT"] == "1"
    assert install.env["GIT_CONFIG_KEY_0"] == "credential.https://github.com.helper"
    helper = subprocess.run(
        ["sh", "-c", f"{install.env['GIT_CONFIG_VALUE_0'][1:]} get"],
        env={"GITHUB_TOKEN": "t0ken"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert helper.stdout == "username=me\npassword=t0ken\n"
    checked = install.commands[0].split(" && ")[0]
    lacking = subprocess.run(
        ["sh", "-c", checked], env={}, capture_output=True, text=True, check=False
    )
    assert lacking.returncode and "GITHUB_TOKEN: is in no secret of this step" in lacking.stderr


def test_an_image_never_changes() -> None:
    image = base()
    before = resolve(image).image_id
    image.pip_install("six").env({"A": "1"})
    assert resolve(image).image_id == before


def test_steps_without_anything_to_do_are_none() -> None:
    image = base()
    assert image.pip_install() is image
    assert image.uv_pip_install() is image
    assert image.apt_install([]) is image
    assert image.run_commands() is image
    assert image.env({}) is image


def test_debian_slim_takes_the_version_of_this_python() -> None:
    recipe = resolve(Image.debian_slim()).recipe
    assert recipe.base == images.DebianSlim(python_version=".".join(map(str, sys.version_info[:2])))


def test_the_order_packages_are_given_in_names_no_other_image() -> None:
    one, other = base().pip_install("a", "b"), base().pip_install("b").pip_install("a")
    assert resolve(one).image_id == resolve(base().pip_install("b", "a")).image_id
    assert resolve(one).image_id != resolve(other).image_id


def test_force_build_names_a_new_image_and_all_that_follow() -> None:
    forced = base().pip_install("a", force_build=True)
    again = base().pip_install("a", force_build=True)
    assert resolve(forced).image_id != resolve(again).image_id
    assert resolve(forced.env({"A": "1"})).recipe.force == resolve(forced).recipe.force != ""
    assert resolve(Image.debian_slim(force_build=True)).recipe.force


def test_the_environment_can_force_all_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUALL_FORCE_BUILD", "1")
    assert resolve(base()).recipe.force
    monkeypatch.setenv("SQUALL_FORCE_BUILD", "0")
    assert not resolve(base()).recipe.force


def test_a_function_of_images_can_be_piped() -> None:
    def with_tools(image: Image, *tools: str) -> Image:
        return image.apt_install(*tools)

    assert steps(base().pipe(with_tools, "jq")) == (images.AptInstall(packages=("jq",)),)


def test_registry_images_keep_their_setup() -> None:
    image = Image.from_registry("r/x:1", setup_dockerfile_commands=["RUN a"], add_python="3.12")
    assert resolve(image).recipe.base == images.Registry(
        reference="r/x:1", setup_commands=("RUN a",), add_python="3.12"
    )


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (Image, "debian_slim"),
    (lambda: Image.debian_slim("three"), "debian_slim: python_version"),
    (lambda: Image.debian_slim("3.9"), "too old"),
    (lambda: Image.from_registry(""), "from_registry: tag"),
    (lambda: Image.from_registry("a b"), "from_registry: tag"),
    (lambda: Image.from_registry("a", secret=object()), "from_registry: secret"),
    (lambda: Image.from_registry("a", add_python="x"), "from_registry: add_python"),
    (lambda: Image.from_dockerfile(5), "from_dockerfile: path"),  # type: ignore[arg-type]
    (lambda: base().pip_install(5), "pip_install: packages"),  # type: ignore[arg-type]
    (lambda: base().pip_install("-r x"), "extra_options"),
    (lambda: base().pip_install("six", index_url=5), "index_url"),  # type: ignore[arg-type]
    (lambda: base().pip_install("six", pre="yes"), "pip_install: pre"),  # type: ignore[arg-type]
    (lambda: base().pip_install("six", secrets=[1]), "pip_install: secrets"),
    (lambda: base().dockerfile_commands("RUN a", secrets=[1]), "give them to run_commands"),
    (
        lambda: base().pip_install_private_repos("github.com/a/b", git_user="me"),
        "a secret with GITHUB_TOKEN",
    ),
    (
        lambda: base().pip_install_private_repos(
            "example.com/a/b", git_user="me", secrets=[Secret.from_name("s")]
        ),
        "no repository of github.com",
    ),
    (lambda: base().pip_install("six", env={"A": 1}), "the value of A"),  # type: ignore[dict-item]
    (lambda: base().pip_install("six", force_build=1), "force_build"),  # type: ignore[arg-type]
    (lambda: base().uv_pip_install("six", uv_version="0.1"), "uv_version"),
    (lambda: base().uv_pip_install(requirements="r.txt"), "uv_pip_install: requirements"),
    (lambda: base().uv_sync(groups="dev"), "uv_sync: groups"),
    (lambda: base().apt_install("a\nb"), "apt_install: packages"),
    (lambda: base().run_commands(""), "run_commands: commands"),
    (lambda: base().run_function(lambda: 1), "lambda"),
    (lambda: base().run_function(print), "run_function"),
    (lambda: base().run_function(base, timeout=0), "run_function: timeout"),
    (lambda: base().env({"1A": "x"}), "env: vars"),
    (lambda: base().env({"A": "x\ny"}), "one line"),
    (lambda: base().env("A=1"), "env: vars"),  # type: ignore[arg-type]
    (lambda: base().workdir("here"), "workdir: path"),
    (lambda: base().workdir("/../x"), "leaves the image"),
    (lambda: base().entrypoint("sh"), "entrypoint"),
    (lambda: base().cmd([1]), "cmd"),  # type: ignore[list-item]
    (lambda: base().dockerfile_commands(["RUN a"], context_files=["a"]), "context_files"),  # type: ignore[arg-type]
    (lambda: base().add_local_file("a", "b"), "add_local_file: remote_path"),
    (lambda: base().add_local_file("a", "/b", copy=1), "copy"),  # type: ignore[arg-type]
    (lambda: base().add_local_dir("a", "/b", ignore="*.py"), "add_local_dir: ignore"),
    (lambda: base().add_local_python_source("a-b"), "add_local_python_source: modules"),
]


@pytest.mark.parametrize(("bad", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_is_wrong_is_refused_at_once_and_named(bad: Callable[[], Any], named: str) -> None:
    with pytest.raises(InvalidError) as caught:
        bad()
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_float_is_no_python_version() -> None:
    with pytest.raises(TypeError, match="float"):
        Image.debian_slim(3.11)  # type: ignore[arg-type]


@pytest.mark.parametrize("copied", [True, False])
def test_build_steps_follow_local_files_only_when_they_are_copied(
    tmp_path: Path, copied: bool
) -> None:
    (tmp_path / "a").write_text("x")
    image = base().add_local_file(tmp_path / "a", "/root/", copy=copied)
    if copied:
        assert len(steps(image.pip_install("six"))) == 2
    else:
        with pytest.raises(
            InvalidError, match=r"pip_install can't follow add_local_file.*copy=True"
        ):
            image.pip_install("six")
        assert image.add_local_dir(tmp_path, "/root/more") is not image


def test_defining_an_image_reads_nothing() -> None:
    image = (
        Image.from_dockerfile("nowhere/Dockerfile")
        .pip_install_from_requirements("nowhere.txt")
        .uv_sync("nowhere")
        .add_local_dir("nowhere", "/root/x")
        .add_local_python_source("no_such_module")
    )
    with pytest.raises(NotFoundError, match="from_dockerfile: path"):
        resolve(image)


@pytest.mark.parametrize(
    ("image", "named"),
    [
        (lambda: base().pip_install_from_requirements("nowhere.txt"), "nowhere.txt"),
        (lambda: base().pip_install_from_pyproject("nowhere.toml"), "nowhere.toml"),
        (lambda: base().uv_sync("nowhere"), "uv_project_dir"),
        (lambda: base().add_local_file("nowhere", "/x"), "add_local_file"),
        (lambda: base().add_local_dir("nowhere", "/x"), "nowhere"),
    ],
)
def test_a_missing_local_file_is_named_when_it_is_read(
    image: Callable[[], Image], named: str
) -> None:
    with pytest.raises(NotFoundError, match=named):
        resolve(image())


def test_overlays_are_files_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a.txt").write_text("a")
    (tmp_path / "d" / "sub" / "run").write_text("b")
    (tmp_path / "d" / "sub" / "run").chmod(0o700)
    (tmp_path / "d" / "skip.log").write_text("c")
    image = base().add_local_dir(tmp_path / "d", "/data", ignore=["*.log"])
    resolved = resolve(image.add_local_file(tmp_path / "d" / "skip.log", "/data/a.txt"))
    assert [(entry.path, entry.size_bytes, entry.mode) for entry in resolved.overlays] == [
        ("/data/a.txt", 1, 0o644),
        ("/data/sub/run", 1, 0o755),
    ]
    assert resolved.uploads[resolved.overlays[0].sha256] == tmp_path / "d" / "skip.log"
    assert resolved.image_id == resolve(base()).image_id


def test_copied_files_name_the_image_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    image = base().add_local_dir(tmp_path, "/root/d", copy=True)
    before = resolve(image)
    assert before.image_id == resolve(image).image_id
    (tmp_path / "a").write_text("other")
    assert resolve(image).image_id != before.image_id


def test_requirements_and_projects_become_steps(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\ndependencies = ["b", "a"]\n'
        '[project.optional-dependencies]\ntest = ["c"]\n'
    )
    by_file, by_project, synced = steps(
        base()
        .pip_install_from_requirements(tmp_path / "requirements.txt")
        .pip_install_from_pyproject(tmp_path / "pyproject.toml", ["test"])
        .uv_sync(tmp_path, groups=["dev"])
    )
    assert isinstance(by_file, images.PipInstall)
    assert [file.path for file in by_file.requirements] == ["0-requirements.txt"]
    assert by_project == images.PipInstall(packages=("a", "b", "c"))
    assert isinstance(synced, images.UvSync)
    assert (synced.frozen, [file.path for file in synced.project]) == (False, ["pyproject.toml"])
    (tmp_path / "uv.lock").write_text("version = 1\n")
    (locked,) = steps(base().uv_sync(tmp_path))
    assert isinstance(locked, images.UvSync)
    assert locked.frozen
    with pytest.raises(InvalidError, match="no optional dependencies 'docs'"):
        resolve(base().pip_install_from_pyproject(tmp_path / "pyproject.toml", ["docs"]))


def test_a_dockerfile_brings_only_the_files_it_copies(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "skip.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "c.txt").write_text("c")
    (tmp_path / ".dockerignore").write_text("skip.txt\n")
    (tmp_path / "Dockerfile").write_text(
        'FROM x\nCOPY ["a.txt", "/a"]\nADD dir skip.txt \\\n /d/\n'
    )
    recipe = resolve(
        Image.from_dockerfile(tmp_path / "Dockerfile", context_dir=tmp_path).dockerfile_commands(
            "COPY named /n", context_files={"/named": tmp_path / "b.txt"}
        )
    ).recipe
    assert isinstance(recipe.base, images.Dockerfile)
    assert [file.path for file in recipe.base.context] == ["a.txt", "dir/c.txt"]
    (step,) = recipe.steps
    assert isinstance(step, images.DockerfileCommands)
    assert [file.path for file in step.context] == ["named"]


def test_a_module_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pkg_of_test" / "sub").mkdir(parents=True)
    (tmp_path / "pkg_of_test" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pkg_of_test" / "sub" / "a.py").write_text("")
    (tmp_path / "pkg_of_test" / "data.json").write_text("")
    (tmp_path / "single_of_test.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert [remote for remote, _ in python_source_entries("pkg_of_test")] == [
        "/root/pkg_of_test/__init__.py",
        "/root/pkg_of_test/sub/a.py",
    ]
    assert python_source_entries("single_of_test") == [
        ("/root/single_of_test.py", tmp_path / "single_of_test.py")
    ]
    both = base().add_local_python_source("pkg_of_test", "single_of_test", ignore=["sub"])
    assert [entry.path for entry in resolve(both).overlays] == [
        "/root/pkg_of_test/__init__.py",
        "/root/pkg_of_test/data.json",
        "/root/single_of_test.py",
    ]


@pytest.mark.parametrize("name", ["no_such_module", "sys", "no_such.inner"])
def test_a_module_without_source_is_refused_by_name(name: str) -> None:
    with pytest.raises(ModuleNotMountable, match=name):
        resolve(base().add_local_python_source(name))


def test_failed_imports_are_kept_for_the_container() -> None:
    image = base()
    with image.imports():
        import no_such_module_at_all  # type: ignore[import-not-found] # noqa: F401
    assert isinstance(image._import_failure, ImportError)
    with pytest.warns(UserWarning, match="ValueError"), image.imports():
        raise ValueError("odd")


def test_importing_images_is_light() -> None:
    code = (
        "import sys; import squall.image; heavy = {'nats', 'aiohttp', 'anyio', 'structlog', "
        "'typer', 'rich', 'cloudpickle', 'tomllib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
