"""`import modal` means Squall where that was asked for, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import cloudpickle


def python(code: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter; what it prints is in `stdout`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SQUALL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def printed(code: str, **extra: str) -> list[str]:
    done = python(f"from squall._modal import alias\nalias.use(True)\n{code}", **extra)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_modal_and_its_modules_are_squalls_own() -> None:
    assert printed(
        "import modal, squall, modal.exception, squall.exception, modal.image\n"
        "from modal.functions import FunctionCall\n"
        "print(modal is squall, modal.exception is squall.exception,"
        " modal.image.Image is squall.Image, FunctionCall is squall.FunctionCall,"
        " squall.__spec__.name, squall.image.__spec__.name)"
    ) == ["True", "True", "True", "True", "squall", "squall.image"]


def test_every_name_can_be_imported_from_modal() -> None:
    names = "App, Image, Volume, Secret, Cls, Function, Retries, Cron, Period, method, enter, exit"
    assert printed(f"from modal import {names}\nprint(App.__module__)") == ["squall.app"]


def test_modules_squall_lacks_are_not_loaded_from_squalls_folder() -> None:
    for name in ("modal._client", "modal.cli.run", "modal.there_is_none"):
        assert printed(
            f"try:\n  import {name}\nexcept ModuleNotFoundError as error: print(error.name)"
        ) == ["modal.cli" if name == "modal.cli.run" else name]


def test_installed_modal_is_left_aside_and_said_so() -> None:
    done = python("from squall._modal import alias\nalias.use(True)\nimport modal, sys\n")
    assert "import modal` means Squall here" in done.stderr
    assert str(Path("modal") / "__init__.py") in done.stderr


def test_without_asking_the_installed_modal_is_what_it_was() -> None:
    done = python("import squall\nimport modal\nprint(modal.__file__)")
    assert str(Path("site-packages") / "modal") in done.stdout


def test_variable_asks_for_it_as_the_option_does() -> None:
    code = "from squall._modal import alias\nalias.use()\nimport modal\nprint(modal.__name__)"
    assert python(code, SQUALL_MODAL="1").stdout.split() == ["squall"]
    assert python(code, SQUALL_MODAL="0").stdout.split() == ["modal"]


def test_asking_after_modal_was_imported_is_refused() -> None:
    done = python("import modal\nfrom squall._modal import alias\nalias.use(True)")
    assert done.returncode == 1
    assert "modal is imported already" in done.stderr


def modules_of_modal() -> set[str]:
    return {name for name in sys.modules if name.partition(".")[0] == "modal"}


def test_pickles_made_under_the_name_modal_are_squalls() -> None:
    code = (
        "import cloudpickle, modal, modal.exception, sys\n"
        "def f(): raise modal.exception.InvalidError(modal.__name__)\n"
        "print(cloudpickle.dumps(f).hex())"
    )
    (pickled,) = printed(code)
    before = modules_of_modal()  # another test of this process may have compared the two
    function = cloudpickle.loads(bytes.fromhex(pickled))
    try:
        function()
    except Exception as error:  # noqa: BLE001 - its very class is the question
        raised = error
    assert type(raised).__module__ == "squall.exception"
    assert str(raised) == "squall"
    assert modules_of_modal() == before


def test_function_for_an_image_brings_modal_with_it() -> None:
    """As a build unpickles it: in a process that was never told."""
    folder = "import sys; sys.path.insert(0, sys.argv[0] or '.')"
    code = (
        "from squall._modal import alias\nalias.use(True)\nimport cloudpickle, types, sys\n"
        "module = types.ModuleType('uses_modal')\n"
        "sys.modules['uses_modal'] = module\n"
        "exec('import modal\\ndef f(): return modal.__name__', module.__dict__)\n"
        "print(cloudpickle.dumps((alias.carried(module.f), (), {})).hex())"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    load = (
        f"{folder}\nimport pathlib, tempfile, pickle\n"
        "place = tempfile.mkdtemp()\nsys.path.insert(0, place)\n"
        "pathlib.Path(place, 'uses_modal.py').write_text('import modal\\n"
        "def f(): return modal.__name__\\n')\n"
        f"print(pickle.loads(bytes.fromhex('{done.stdout.strip()}'))[0]())"
    )
    loaded = python(load)
    assert loaded.stdout.split() == ["squall"], loaded.stderr
