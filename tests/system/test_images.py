"""Scenario 2: dependencies, the image cache, and builds that fail."""

import pytest
import squall
from squall import _client, _sync
from squall_contracts.images import ListImages

from tests.system.conftest import Program, Server


def built() -> dict[str, float]:
    """The images there are, and when each was built."""

    async def ask() -> dict[str, float]:
        client = await _client.connected()
        found = (await client.control(ListImages())).images
        return {record.image_id: record.created_unix_s for record in found}

    return _sync.run(ask())


def test_an_installed_package_works_and_an_unchanged_image_is_not_built_again(
    program: Program,
) -> None:
    module = program("dependencies")
    assert module.fetch.remote(1234) == 1234
    assert list(module.fetch.map([77] * 10)) == [77] * 10
    before = built()
    again = program("dependencies")
    assert again.fetch.remote(5) == 5
    assert built() == before


def test_system_packages_numpy_and_environment(program: Program, server: Server) -> None:
    if server.runtime == "process":
        with pytest.raises(squall.exception.Error, match=r"(?i)apt_install.*docker"):
            program("statistics_image")
        return
    result = program("statistics_image").describe.remote([1.5, 2.3, 4.7, 3.2, 5.8, 2.1, 4.4])
    assert result["min"] == 1.5
    assert result["max"] == 5.8
    assert result["mean"] == pytest.approx(3.4286, abs=1e-4)
    assert result["std"] == pytest.approx(1.4636, abs=1e-4)
    assert result["unit"] == "metres"
    assert result["tools"] == ["jq", "curl"]


def test_a_sandbox_has_the_packages_of_its_image(program: Program) -> None:
    module = program("dependencies")
    sandbox = squall.Sandbox.create(app=module.app, image=module.image)
    code = "import sys, numpy; print('Hello from sandbox', numpy.arange(4).sum())"
    process = sandbox.exec("python", "-c", code)
    assert (process.stdout.read(), process.wait()) == ("Hello from sandbox 6\n", 0)
    sandbox.terminate()


def test_a_failing_build_fails_the_run_with_the_step_and_the_log(program: Program) -> None:
    with pytest.raises(squall.exception.ImageBuildError) as caught:
        program("broken_image")
    assert "this-package-does-not-exist-anywhere" in str(caught.value)
    assert "pip_install" in str(caught.value)


def test_a_module_missing_in_the_image_is_named(program: Program) -> None:
    module = program("missing_module")
    with pytest.raises((ImportError, squall.exception.Error), match="a_module_nobody_has"):
        module.unreachable.remote()


def test_copied_files_baked_files_and_overlays_are_where_they_belong(program: Program) -> None:
    seen = program("baked").look.remote()
    assert (
        seen["copied"]
        == '"""Scenario 1: small functions, one of which calls itself through the platform."""'
    )
    assert seen["laid"] is True
    assert seen["baked"] == "baked"
    assert seen["flavour"] == "plum"


def test_an_import_that_fails_in_the_container_is_raised_there(program: Program) -> None:
    module = program("missing_import")
    with pytest.raises((ImportError, squall.exception.Error), match="a_module_nobody_has"):
        module.unreachable.remote()
