"""What importing Squall costs: users and containers pay for it at every start."""

import subprocess
import sys

import pytest

HEAVY_FOR_USERS = {
    "aiohttp",
    "aiodocker",
    "anyio",
    "dotenv",
    "nacl",
    "nats",
    "nkeys",
    "opentelemetry",
    "pydantic",
    "rich",
    "structlog",
    "typer",
}
HEAVY_FOR_GUESTS = {
    "aiohttp",
    "aiodocker",
    "anyio",
    "opentelemetry",
    "pydantic",
    "rich",
    "structlog",
    "typer",
}


def loaded_by(statement: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `statement`."""
    code = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


def test_import_squall_is_light() -> None:
    assert not loaded_by("import squall") & HEAVY_FOR_USERS


def test_guest_loads_no_command_line_and_no_service() -> None:
    loaded = loaded_by("import squall_guest.__main__")
    assert not loaded & HEAVY_FOR_GUESTS
    assert "squall.cli" not in loaded


@pytest.mark.parametrize("module", ["squall.cli.__main__", "squall.cli.run"])
def test_squall_run_starts_without_typer_and_rich(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"typer", "rich", "pydantic", "nats", "aiohttp"}
