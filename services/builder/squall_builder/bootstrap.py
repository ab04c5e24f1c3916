"""Make Squall's base image from Debian packages, where no image registry can be reached.

`python -m squall_builder.bootstrap --python 3.11` runs debootstrap, finishes the tree so that
`python` and `pip` work in it as users expect, and imports it as `squall-base:bookworm-py3.11`.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import aiodocker
import aiohttp

PYTHON_OF_SUITE: Final = {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13"}
"""The Python each Debian release ships; debootstrap can give no other."""
PACKAGES: Final = "python3,python3-venv,python3-pip,ca-certificates"
TREES_LEFT_OUT: Final = ("./dev/*", "./proc/*", "./sys/*", "./var/cache/apt/archives/*.deb")
CHUNK_BYTES: Final = 1 << 20

Say = Callable[[str], None]


class BootstrapError(Exception):
    """Raised when the base can't be made here; the message names what is missing and the remedy."""


def base_tag(suite: str, python: str) -> str:
    """Docker tag of a bootstrapped base: `squall-base:bookworm-py3.11`."""
    return f"squall-base:{suite}-py{python}"


def check_request(python: str | None, suite: str) -> str:
    """The Python version `suite` gives. BootstrapError unless it is the one asked for."""
    shipped = PYTHON_OF_SUITE.get(suite)
    if shipped is None:
        raise BootstrapError(
            f"suite {suite!r} is not known: choose one of {', '.join(PYTHON_OF_SUITE)}"
        )
    if python is not None and python != shipped:
        other = next((name for name, version in PYTHON_OF_SUITE.items() if version == python), None)
        remedy = f"use --suite {other}" if other else "no Debian release has that version"
        raise BootstrapError(f"Debian {suite} has Python {shipped}, not {python}: {remedy}")
    return shipped


async def bootstrap(
    python: str | None = None,
    suite: str = "bookworm",
    mirror: str | None = None,
    say: Say = print,
    scratch: Path | None = None,
) -> str:
    """Build and import the base image; returns its tag.

    `python` None takes the suite's own version; `mirror` None takes debootstrap's default;
    `scratch` is where the tree is laid while it is made (about 500 MB), None: the system's
    temporary directory.
    BootstrapError names what is missing.
    """
    version = check_request(python, suite)
    _check_host()
    tag = base_tag(suite, version)
    directory = Path(tempfile.mkdtemp(prefix="squall-bootstrap-", dir=scratch))
    try:
        await _debootstrap(directory, suite, mirror, say)
        finish_tree(directory, suite, mirror)
        say(f"importing {tag}")
        await import_tree(directory, tag)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory)
    say(f"ready: {tag}")
    return tag


def _check_host() -> None:
    if shutil.which("debootstrap") is None:
        raise BootstrapError(
            "debootstrap is not installed: install it (apt-get install debootstrap), or load a "
            "base made elsewhere with `docker load` and name it in SQUALL_BUILDER_BASE_IMAGE"
        )
    if os.geteuid() != 0:
        raise BootstrapError("debootstrap needs root: run the command again with sudo")


async def _debootstrap(directory: Path, suite: str, mirror: str | None, say: Say) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(directory)]
    if mirror is not None:
        command.append(mirror)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    last_error = ""
    try:
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").strip()
            if line:
                say(line)
            if line.startswith(("E:", "W:")):
                last_error = line
        code = await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if code != 0:
        raise BootstrapError(
            f"debootstrap ended with status {code} ({last_error or 'see the lines above'}): "
            "check the network and --mirror"
        )


def finish_tree(root: Path, suite: str, mirror: str | None) -> None:
    """Make the fresh tree a good base: `python` on PATH, pip allowed to install, caches emptied."""
    python = root / "usr/bin/python"
    if not python.is_symlink() and not python.exists():
        python.symlink_to("python3")
    for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for leftover in ("var/lib/apt/lists", "var/log", "usr/share/doc", "usr/share/man"):
        _empty(root / leftover)
    (root / "etc/hostname").unlink(missing_ok=True)
    (root / "etc/resolv.conf").unlink(missing_ok=True)
    daemons = root / "usr/sbin/policy-rc.d"
    daemons.write_text("#!/bin/sh\nexit 101\n")  # packages must not start daemons in a build
    daemons.chmod(0o755)
    if mirror is None:
        _add_updates(root / "etc/apt/sources.list", suite)


def _empty(directory: Path) -> None:
    for entry in directory.iterdir() if directory.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _add_updates(sources: Path, suite: str) -> None:
    """Debian's own archive has its updates beside it; a private mirror need not."""
    lines = sources.read_text().splitlines()
    url = lines[0].split()[1].rstrip("/")
    lines += [f"deb {url} {suite}-updates main", f"deb {url}-security {suite}-security main"]
    sources.write_text("\n".join(dict.fromkeys(lines)) + "\n")


async def import_tree(root: Path, tag: str) -> None:
    """Import a directory as a one-layer Docker image. BootstrapError when no engine takes it."""
    repository, _, label = tag.rpartition(":")
    try:
        async with (
            aiodocker.Docker() as engine,
            # aiodocker has no public call for `docker import`.
            engine._query(
                "images/create",
                "POST",
                params={"fromSrc": "-", "repo": repository, "tag": label},
                data=_tar(root),
                headers={"Content-Type": "application/x-tar"},
                timeout=aiohttp.ClientTimeout(total=None),
            ) as response,
        ):
            answer = await response.text()
    except AssertionError as error:  # aiodocker's answer where it finds no socket
        raise BootstrapError("no Docker engine found: start it, or set DOCKER_HOST") from error
    except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
        raise BootstrapError(f"Docker did not take the image: {error}") from error
    if '"error"' in answer:
        raise BootstrapError(f"Docker did not take the image: {answer.strip().splitlines()[-1]}")


async def _tar(root: Path) -> AsyncIterator[bytes]:
    left_out = [f"--exclude={pattern}" for pattern in TREES_LEFT_OUT]
    process = await asyncio.create_subprocess_exec(
        "tar",
        "-C",
        str(root),
        "--numeric-owner",
        *left_out,
        "-c",
        ".",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        while chunk := await process.stdout.read(CHUNK_BYTES):
            yield chunk
        if await process.wait() != 0:
            raise BootstrapError(f"tar ended with status {process.returncode} reading {root}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(prog="squall image bootstrap", description=__doc__)
    parser.add_argument("--python", help="such as 3.11; default: the suite's own")
    parser.add_argument("--suite", default="bookworm", help="Debian release (default: bookworm)")
    parser.add_argument("--mirror", help="URL of a Debian mirror (default: debootstrap's)")
    wanted = parser.parse_args()

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    try:
        asyncio.run(bootstrap(wanted.python, wanted.suite, wanted.mirror, say))
    except BootstrapError as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
