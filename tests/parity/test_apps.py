"""Lines 1 to 12: apps."""

import signal
import time
from typing import Any

import pytest
import squall
from squall import experimental
from squall._apps import replacing
from squall.exception import ExecutionError, InvalidError, NotFoundError, ServerWarning

from ..system.conftest import Server
from .conftest import Program


def made(name: str | None, *names: str, **options: Any) -> squall.App:
    """An app with functions of these names, which go by value."""
    app = squall.App(name)
    for each in names:

        def answer() -> str:
            return "answer"

        app.function(serialized=True, name=each, **options)(answer)
    return app


def test_01_redeploy_keeps_ids_and_what_is_gone_vanishes(world: Server) -> None:
    first = made("p-01", "one", "two")
    first.deploy()
    again = made("p-01", "one")
    again.deploy()
    assert again.app_id == first.app_id
    assert again.functions["one"].object_id == first.functions["one"].object_id
    with pytest.raises(NotFoundError):
        squall.Function.from_name("p-01", "two").remote()
    again.stop()


def test_02_name_may_become_a_class_and_a_function_again(world: Server) -> None:
    made("p-02", "Thing").deploy()
    app = squall.App("p-02")

    @app.cls(serialized=True)
    class Thing:
        @squall.method()
        def greet(self) -> str:
            return "a class now"

    app.deploy()
    assert squall.Cls.from_name("p-02", "Thing")().greet.remote() == "a class now"
    made("p-02", "Thing").deploy()
    assert squall.Function.from_name("p-02", "Thing").remote() == "answer"
    app.stop()


def test_03_name_given_to_deploy_beats_the_apps_own(world: Server) -> None:
    app = made("p-03-own", "one")
    assert app.deploy(name="p-03-given") is app
    assert [each.name for each in experimental.list_deployed_apps()].count("p-03-given") == 1
    app.stop()
    with pytest.raises(InvalidError, match="name"):
        made(None, "one").deploy()


def test_04_remote_outside_of_a_run_is_an_error() -> None:
    with pytest.raises(ExecutionError, match="has not been hydrated"):
        made("p-04", "one").functions["one"].remote()


def test_05_run_while_a_container_imports_is_refused(program: Program) -> None:
    module = program("runs_itself")
    with pytest.raises(InvalidError, match="runs again when the container imports"):
        module.never.remote()


def test_06_interrupt_inside_the_block_ends_the_run_quietly(world: Server) -> None:
    app = made("p-06", "one")
    with app.run():
        app_id = app.app_id or ""
        signal.raise_signal(signal.SIGINT)
    assert app.app_id is None
    assert experimental.get_app_lifecycle(app_id).stopped_at is not None


def test_07_detached_app_goes_on_after_the_block(world: Server) -> None:
    app = made("p-07", "one")
    with app.run(detach=True):
        app_id = app.app_id
    assert app_id is not None
    found = squall.App.lookup(app_id)
    assert found.info().state == "detached"
    found.stop()


def test_08_two_functions_of_one_name_warn_and_the_last_wins() -> None:
    with pytest.warns(UserWarning, match="two functions named 'one'"):
        app = made("p-08", "one", "one")
    assert len(app.functions) == 1


def test_09_include_takes_functions_classes_and_tags() -> None:
    inner = squall.App("inner", tags={"team": "in", "kind": "x"})
    inner.function(serialized=True, name="f")(
        test_08_two_functions_of_one_name_warn_and_the_last_wins
    )

    @inner.cls(serialized=True)
    class Inner:
        @squall.method()
        def m(self) -> None:
            """Nothing."""

    outer = squall.App("outer", tags={"team": "out"})
    assert outer.include(inner) is outer
    assert set(outer.functions) == {"f"}
    assert set(outer.registered_classes) == {"Inner"}
    assert outer.get_tags() == {"team": "out", "kind": "x"}


@pytest.mark.parametrize("name", ["with space", "ap-" + "a" * 22, "x" * 65, ""])
def test_10_bad_names_and_tags_are_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        squall.App(name)
    for tags in ({"a b": "c"}, {"k": "v" * 64}, {"k": 1}):
        with pytest.raises(InvalidError, match="tags"):
            squall.App("p-10").set_tags(tags)  # type: ignore[arg-type]


def test_11_one_app_runs_twice_with_new_ids(world: Server) -> None:
    app = made("p-11", "one")
    ids = []
    for _ in range(2):
        with app.run():
            ids.append((app.app_id, app.functions["one"].object_id))
            assert app.functions["one"].remote() == "answer"
        with pytest.raises(AttributeError):
            app.functions["one"].object_id  # noqa: B018
    assert ids[0][0] != ids[1][0]


def test_12_recreate_ends_old_containers_and_warns_when_that_takes_long(
    world: Server, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = squall.App("p-12")

    def waits(path: str) -> str:
        open(path, "w").close()
        time.sleep(2)
        return "old"

    app.function(serialized=True, name="one")(waits)
    app.deploy()
    call = app.functions["one"].spawn(counted)
    _until_there(counted)
    monkeypatch.setattr(replacing, "REPLACED_S", 0.05)
    with pytest.warns(ServerWarning):
        made("p-12", "one").deploy(strategy="recreate")
    assert call.get() == "old"
    app.stop()


def _until_there(path: str) -> None:
    import pathlib

    from watchfiles import watch

    if not pathlib.Path(path).exists():
        for _ in watch(pathlib.Path(path).parent, rust_timeout=500, yield_on_timeout=True):
            if pathlib.Path(path).exists():
                return


def test_checklist_has_every_line(request: pytest.FixtureRequest) -> None:
    import re

    folder = request.path.parent
    numbers = {
        int(number)
        for path in folder.glob("test_*.py")
        for number in re.findall(r"^(?:async )?def test_(\d\d)_", path.read_text(), re.M)
    }
    assert numbers == set(range(1, 85))
