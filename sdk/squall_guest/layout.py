"""Makes the container what user code expects: environment, files, working folder, sys.path."""

import errno
import math
import os
import shutil
import sys
from pathlib import Path

from squall._modal import alias
from squall.exception import InvalidError
from squall_contracts.functions import FileEntry
from squall_contracts.guest import Assignment

_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
_COPIED_BYTES = 1024 * 1024
"""Larger files are linked, not copied: a cold start must not wait for them."""


def set_environment(assignment: Assignment) -> None:
    """The function's secrets, its own variables, then SQUALL_* and their MODAL_* twins; the later
    wins. The process's environment as others can list it, /proc/<pid>/environ, stays as it was."""
    threads = str(max(1, math.ceil(assignment.spec.resources.cpu)))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, threads)
    say_where(
        assignment,
        IS_REMOTE="1",
        FUNCTION_NAME=assignment.spec.name,
        FUNCTION_ID=assignment.function_id,
    )


def say_where(assignment: Assignment, **more: str) -> None:
    """Set the secrets, the own variables, then what says where this is, and `more`, as SQUALL_* and
    MODAL_*."""
    os.environ.update(assignment.secrets)
    os.environ.update(assignment.spec.env)
    twins = {
        "TASK_ID": assignment.container_id,
        "IMAGE_ID": assignment.image_id,
        "ENVIRONMENT": assignment.environment,
        "CLOUD_PROVIDER": "SQUALL",
        "REGION": "local",
        "APP_NAME": assignment.app_name,
        "APP_ID": assignment.app_id,
        **more,
    }
    for name, value in twins.items():
        os.environ[f"SQUALL_{name}"] = value
        os.environ[f"MODAL_{name}"] = value


class MachineError(Exception):
    """Raised where a start failed by what is no fault of the function: elsewhere it may succeed."""


def lay_files(assignment: Assignment) -> None:
    """Put `spec.files` in place over the image. InvalidError names the file that can't be; MachineError:
    the disk is full, or broken."""
    try:
        _lay_files(assignment)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        raise MachineError(f"the function's files can't be laid: {error}") from error


def _lay_files(assignment: Assignment) -> None:
    source, root = Path(assignment.files_dir), Path(assignment.root)
    made: set[Path] = set()
    for entry in assignment.spec.files:
        relative = entry.path.lstrip("/")
        target = root / relative
        if ".." in target.parts:
            raise InvalidError(f"{entry.path} leads elsewhere: give a path without '..'")
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        _lay(source / relative, target, entry)


def _lay(source: Path, target: Path, entry: FileEntry) -> None:
    try:
        if target.is_symlink() or target.exists():
            if target.samefile(source):
                return
            target.unlink()
        if entry.size_bytes > _COPIED_BYTES:
            target.symlink_to(source)
        else:
            shutil.copyfile(source, target)
            target.chmod(entry.mode)
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        raise InvalidError(
            f"can't lay {entry.path} over the image: {error.strerror or error}; "
            "the container's user must be able to write there"
        ) from error


def enter_root(assignment: Assignment) -> None:
    """Modules under /root are importable, here and in child processes, and come first, and `modal`
    is where the client has it; the working folder is /root unless the image or the runner chose
    another."""
    home = Path(assignment.root) / "root"
    if Path.cwd() == Path("/"):
        home.mkdir(parents=True, exist_ok=True)
        os.chdir(home)
    sys.path.insert(0, str(home))
    inherited = os.environ.get("PYTHONPATH")
    alias.use()
    os.environ["PYTHONPATH"] = f"{home}{os.pathsep}{inherited}" if inherited else str(home)
