"""What a container that is a plain process is given: its root, its environment, its output files."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import msgspec
from squall_contracts.guest import ASSIGNMENT_VARIABLE
from squall_contracts.images import FILES_OF_ENVIRONMENT

from squall_runner.docker_config import CA_VARIABLES
from squall_runner.runtime import Launch, Layout, Source

SOURCES: Final[tuple[Source, Source]] = ("stdout", "stderr")
PLAN_FILE: Final = "launch"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is started with. It is kept as JSON in the slot: a zygote reads it there, and
    so does who runs a command in the container later."""

    env: dict[str, str]
    cwd: str
    stdout: str
    stderr: str

    @classmethod
    def of(cls, slot: Path) -> Self:
        """The plan of a container that was started. OSError."""
        return msgspec.json.decode((slot / PLAN_FILE).read_bytes(), type=cls)

    def keep(self, slot: Path) -> Path:
        """The file it is in."""
        path = slot / PLAN_FILE
        path.touch(0o600)
        path.write_bytes(msgspec.json.encode(self))
        return path


class Wardrobe:
    """Of one runner."""

    def __init__(self, layout: Callable[[Path], Layout], ca_bundle: str) -> None:
        self._layout = layout
        self._ca_bundle = ca_bundle

    def plan(self, launch: Launch) -> Plan:
        """What `launch` is to be started with."""
        directory = launch.directory
        return Plan(
            env=self._env(launch),
            cwd=str(_workdir(launch)),
            stdout=str(directory / "stdout"),
            stderr=str(directory / "stderr"),
        )

    def own(self, launch: Launch) -> dict[str, str]:
        """The environment of any process of the image; nothing of the runner's own but the locale."""
        env = dict.fromkeys(CA_VARIABLES, self._ca_bundle) if self._ca_bundle else {}
        return {
            **env,
            "PATH": f"{launch.reference}/bin:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(launch.site),
            "VIRTUAL_ENV": launch.reference,
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "PYTHONUNBUFFERED": "1",
        }

    def _env(self, launch: Launch) -> dict[str, str]:
        """And the image's variables and the function's."""
        directory = launch.directory
        env = {
            **self.own(launch),
            "HOME": str(directory / "root" / "root"),
            **launch.env,
            ASSIGNMENT_VARIABLE: self._layout(directory).assignment,
            "SQUALL_EXIT_FILE": str(directory / "out" / "exit"),
        }
        if launch.binds:
            mounts = [[str(bind.source), bind.target, bind.read_only] for bind in launch.binds]
            env["SQUALL_MOUNTS"] = msgspec.json.encode(mounts).decode()
        return env


def make_root(launch: Launch) -> None:
    """The container's root directory, with what the image's steps left for it."""
    root = launch.directory / "root"
    (root / "root").mkdir(parents=True, exist_ok=True)
    built = Path(launch.reference) / FILES_OF_ENVIRONMENT
    if built.is_dir():
        shutil.copytree(built, root, symlinks=True, dirs_exist_ok=True)


def _workdir(launch: Launch) -> Path:
    """The image's working directory below the container's root; /root when it names none."""
    home = launch.directory / "root" / (launch.workdir or "/root").lstrip("/")
    home.mkdir(parents=True, exist_ok=True)
    return home
