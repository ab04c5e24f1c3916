"""What `squall run` and `squall deploy` may be pointed at."""

from pathlib import Path

import pytest
from squall.cli.refs import Reference, parse
from squall.exception import InvalidError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "job.py").write_text("")
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "pkg").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "as_module", "reference"),
    [
        ("job.py", False, Reference(Path("job.py"), None, None)),
        ("./job.py::f", False, Reference(Path("job.py"), None, "f")),
        ("job.py::app.f", False, Reference(Path("job.py"), None, "app.f")),
        ("job.py::app.Class.method", False, Reference(Path("job.py"), None, "app.Class.method")),
        ("pkg.job", True, Reference(None, "pkg.job", None)),
        ("pkg.job::f", True, Reference(None, "pkg.job", "f")),
    ],
)
def test_reference_is_read(text: str, as_module: bool, reference: Reference) -> None:
    assert parse(text, as_module=as_module) == reference


@pytest.mark.parametrize(
    ("text", "as_module", "says"),
    [
        ("missing.py", False, "does not exist"),
        ("pkg", False, "is a folder"),
        ("notes.txt", False, "is not a .py file"),
        ("some.module", False, "write -m some.module"),
        ("job.py::", False, "can't name a function"),
        ("job.py::1f", False, "can't name a function"),
        ("job.py::a.b.c.d", False, "can't name a function"),
        ("job.py::f::g", False, "can't name a function"),
        ("pkg/job.py", True, "is not a module name"),
        ("", False, "is not a .py file"),
    ],
)
def test_reference_that_names_nothing_is_refused(text: str, as_module: bool, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        parse(text, as_module=as_module)
