"""Functions run while building: what names the image, and what goes with them."""

import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from squall.exception import InvalidError
from squall.image import Image, resolve
from squall_contracts import images

SOURCE = """
LIMIT = {limit}

def helper():
    return {helper}

def work(x=0):
    return LIMIT + helper() + x
"""


def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, helper: int) -> ModuleType:
    """A module of the user's, imported anew."""
    import importlib
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "baked_of_test.py").write_text(SOURCE.format(limit=limit, helper=helper))
    sys.modules.pop("baked_of_test", None)
    importlib.invalidate_caches()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        return importlib.import_module("baked_of_test")
    finally:
        sys.dont_write_bytecode = before


def baked(function: Any, **options: Any) -> tuple[str, images.RunFunction]:
    resolved = resolve(Image.debian_slim().run_function(function, **options))
    (step,) = resolved.recipe.steps
    assert isinstance(step, images.RunFunction)
    assert step.serialized.sha256 in resolved.uploads
    return resolved.image_id, step


def test_source_arguments_and_plain_globals_name_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = baked(module(tmp_path, monkeypatch, 1, 1).work)
    other_helper, _ = baked(module(tmp_path, monkeypatch, 1, 2).work)
    other_global, _ = baked(module(tmp_path, monkeypatch, 2, 1).work)
    other_argument, _ = baked(module(tmp_path, monkeypatch, 1, 1).work, args=(5,))
    assert one == other_helper, "an edit elsewhere in the script runs nothing again"
    assert len({one, other_global, other_argument}) == 3


def test_a_function_of_a_module_goes_by_name_with_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, step = baked(module(tmp_path, monkeypatch, 1, 1).work)
    assert [file.path for file in step.files] == ["/root/baked_of_test.py"]
    assert step.serialized.size_bytes < 200


def test_without_its_source_a_function_goes_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = module(tmp_path, monkeypatch, 1, 1)
    resolved = resolve(Image.debian_slim().run_function(found.work, include_source=False))
    (step,) = resolved.recipe.steps
    assert isinstance(step, images.RunFunction)
    assert step.files == ()
    pickled = resolved.uploads[step.serialized.sha256]
    assert isinstance(pickled, bytes)
    import sys

    monkeypatch.delitem(sys.modules, "baked_of_test")
    (tmp_path / "baked_of_test.py").unlink()
    function, args, kwargs = pickle.loads(pickled)
    assert function(*args, **kwargs) == 2


def test_what_can_not_be_pickled_is_named() -> None:
    import threading

    with pytest.raises(InvalidError, match="can't be pickled"):
        baked(test_what_can_not_be_pickled_is_named, args=(threading.Lock(),))


def test_large_arguments_are_refused() -> None:
    with pytest.raises(InvalidError, match="bytes pickled"):
        baked(test_large_arguments_are_refused, args=(bytes(3 << 20),))
