"""`squall init`: what it writes works, and nothing is lost to it."""

import subprocess
import sys
from pathlib import Path

DECLARED = """
from service import app, config
print(list(app.registered_functions), config.models)
"""


def squall(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "squall.cli", *argv],
        cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_written_service_declares_its_class_and_routes(tmp_path: Path) -> None:
    written = squall("init", "serving", "reviews", cwd=tmp_path)
    assert written.returncode == 0
    assert "cd reviews && squall serve service.py" in written.stderr
    shown = subprocess.run(
        [sys.executable, "-c", DECLARED],
        cwd=tmp_path / "reviews", capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert shown.stdout == "['endpoints'] ('plain', 'keen')\n", shown.stderr


def test_files_that_are_there_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "serving.yaml").write_text("mine")
    refused = squall("init", "serving", cwd=tmp_path)
    assert refused.returncode != 0
    assert "serving.yaml is there already: choose another folder" in refused.stderr
    assert (tmp_path / "serving.yaml").read_text() == "mine"
    assert not (tmp_path / "service.py").exists()
