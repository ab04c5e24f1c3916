"""docs/modal-compatibility.md says what is so, and nothing that scripts need is missing."""

import importlib
import re

import pytest
import squall
from squall._modal import spellings
from squall.exception import DeprecationError, InvalidError, NoEffectWarning

from .table import PAGE, Row, page, rows


@pytest.fixture(scope="module")
def found() -> list[Row]:
    return rows()


def test_the_page_is_what_the_signatures_say() -> None:
    assert PAGE.read_text() == page(), "run python -m tests.sdk.compatibility"


def test_nothing_that_scripts_need_is_missing(found: list[Row]) -> None:
    wanted = [row for row in found if row.rank in ("core", "common")]
    assert len(wanted) > 200
    assert [row.name for row in wanted if row.state == "missing"] == []


def test_what_scripts_need_takes_the_arguments_modal_takes(found: list[Row]) -> None:
    lacking = [row for row in found if row.rank == "core" and "without `" in row.remark]
    assert [(row.name, row.remark) for row in lacking] == []


def test_no_name_of_modals_is_unknown(found: list[Row]) -> None:
    assert [row.name for row in found if row.state == "missing"] == []


def test_what_is_refused_says_what_to_use(found: list[Row]) -> None:
    assert [row.name for row in found if row.state == "refused" and not row.remark] == []


def test_old_names_work_with_a_warning() -> None:
    with pytest.warns(DeprecationError, match=r"now called squall\.App"):
        assert squall.Stub is squall.App
    gpu = importlib.import_module("squall._modal.gpu")
    with pytest.warns(DeprecationError, match="A100-80GB:2"):
        assert gpu.A100(count=2, size="80GB") == "A100-80GB:2"
    app = squall.App("old")
    with pytest.warns(DeprecationError) as told:
        function = app.function(
            concurrency_limit=3, keep_warm=1, container_idle_timeout=60, allow_concurrent_inputs=4
        )(plain)
    assert len(told) == 4
    options = function.options
    assert options.scaling.max_containers == 3
    assert options.scaling.min_containers == 1
    assert options.max_inputs == 4


def plain() -> None:
    """To be decorated."""


def test_names_that_are_gone_say_what_to_use() -> None:
    with pytest.raises(AttributeError, match=r"Volume\.from_name"):
        squall.NetworkFileSystem  # noqa: B018
    with pytest.raises(InvalidError, match=r"secrets=\[…\]"):
        squall.App("x").function(secret=squall.Secret.from_dict({}))
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such_thing'"):
        squall.App("x").function(no_such_thing=1)


def test_options_of_the_cloud_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spellings, "_said", set())
    app = squall.App("cloudy")
    with pytest.warns(NoEffectWarning, match="region has no effect here"):
        app.function(region="us-east")(plain)
    app.cls(region="eu-west")(type("Plain", (), {"m": squall.method()(_method)}))
    with pytest.raises(InvalidError, match="network_file_systems"):
        app.function(network_file_systems={"/nfs": None})


def test_a_proxy_is_taken_and_told_to_have_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spellings, "_said", set())
    proxies = importlib.import_module("squall._modal.proxy").Proxy
    with pytest.warns(NoEffectWarning, match="proxy has no effect here"):
        proxy = squall.Proxy.from_name("exit", environment_name="main")
    assert (type(proxy), proxy.name) == (proxies, "exit")
    assert squall.App("behind").function(proxy=proxy)(plain).name == "plain"
    with pytest.raises(InvalidError, match="name"):
        squall.Proxy.from_name("no such name")


def _method(self: object) -> None:
    """To be a method."""


def test_old_mounts_become_layers_over_the_image() -> None:
    mount = importlib.import_module("squall._modal.mount").Mount
    app = squall.App("mounted")
    with pytest.warns(DeprecationError) as told:
        function = app.function(mounts=[mount.from_local_file(__file__, "/data/x.py")])(plain)
    assert any("add_local_file" in str(each.message) for each in told)
    image = function.options.image
    assert image is not None
    assert re.search("add_local_file", repr(image))
    assert [remote for laid in image._overlays for remote, _ in laid.files()] == ["/data/x.py"]
