"""Site directories: the guest and what it imports, one directory for each Python version.

Containers mount it read-only, so images need no rebuild when Squall is upgraded. It holds boot.py,
`own` with copies of Squall's packages, and `packages` with their few dependencies: copied from the
running environment where its Python is the same, installed by uv where it is another.
"""

import asyncio
import compileall
import hashlib
import importlib.util
import os
import py_compile
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog

from squall_runner import boot, mounting, zygote
from squall_runner.core import minor
from squall_runner.runtime import StartRefused

log = structlog.get_logger()

PACKAGES: Final = (
    "squall_contracts",
    "squall_bus",
    "squall_volumes",
    "squall_terminals",
    "squall",
    "squall_guest",
)
ALONE: Final = (boot, mounting, zygote)
"""Run by their paths before any package is found."""
OWN_DIRECTORY: Final = "own"
PACKAGES_DIRECTORY: Final = "packages"
ROOTS: Final = ("msgspec", "nats-py", "nkeys", "cloudpickle", "uvloop", "h11", "wsproto")
OWN_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_UNWANTED: Final = frozenset({"..", "__pycache__", "tests"})
_REQUIREMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


Compile = Callable[[Path], Awaitable[None]]


class Sites:
    """Makes site directories below `directory`, each once."""

    def __init__(self, directory: Path, *, ca_bundle: str = "") -> None:
        self._directory = directory
        self._ca_bundle = ca_bundle
        self._locks: dict[str, anyio.Lock] = {}
        self._ready: dict[str, Path] = {}

    async def get(self, python_version: str, compile_with: Compile) -> Path:
        """The directory for images of this Python; StartRefused when it can't be made.

        `compile_with` is given a directory to compile under that Python where it isn't ours.
        """
        version = minor(python_version)
        ready = self._ready.get(version)
        if ready is not None:
            return ready
        async with self._locks.setdefault(version, anyio.Lock()):
            if version not in self._ready:
                self._ready[version] = await self._make(version, compile_with)
        return self._ready[version]

    async def prune(self, used: Collection[str]) -> None:
        """Remove directories of other releases than this, but for those containers still use."""
        await anyio.to_thread.run_sync(self._prune, used)

    def _prune(self, used: Collection[str]) -> None:
        if not self._directory.is_dir():
            return
        digest = _digest()
        for path in self._directory.iterdir():
            if str(path) not in used and not path.name.endswith(f"-{digest}"):
                shutil.rmtree(path, ignore_errors=True)

    async def _make(self, version: str, compile_with: Compile) -> Path:
        digest = await anyio.to_thread.run_sync(_digest)
        target = self._directory / f"{version}-{digest}"
        if target.is_dir():
            return target
        self._directory.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".new-", dir=self._directory))
        try:
            compiled = [] if version == OWN_VERSION else _compiled()
            if compiled:
                await self._install(building, version, compiled)
            copied = [name for name in dependencies() if name not in compiled]
            await anyio.to_thread.run_sync(_copy_distributions, building, copied)
            await anyio.to_thread.run_sync(_copy_packages, building, version)
            if version != OWN_VERSION:
                await compile_with(building)
            await anyio.to_thread.run_sync(_publish, building, target)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        log.info("site.made", python_version=version, path=str(target))
        return target

    async def _install(self, target: Path, version: str, names: Sequence[str]) -> None:
        from uv import find_uv_bin

        argv = [find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:"]
        argv += ["--python-version", version, "--python", sys.executable]
        argv += ["--target", str(target / PACKAGES_DIRECTORY)]
        argv += [f"{name}=={metadata.version(name)}" for name in names]
        env = dict(os.environ)
        if self._ca_bundle:
            env["SSL_CERT_FILE"] = self._ca_bundle
        process = await asyncio.create_subprocess_exec(
            *argv, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            lines = output.decode(errors="replace").strip().splitlines()
            raise StartRefused(
                f"the guest's packages for Python {version} can't be installed: "
                f"{' '.join(lines[-3:])}; check the runner's network and package index"
            )


def _publish(building: Path, target: Path) -> None:
    building.chmod(0o755)
    building.rename(target)


def dependencies() -> tuple[str, ...]:
    """Distributions the guest needs, those of its dependencies included, sorted."""
    wanted, pending = set[str](), list(ROOTS)
    while pending:
        name = pending.pop()
        if name in wanted:
            continue
        wanted.add(name)
        for requirement in metadata.requires(name) or ():
            match = _REQUIREMENT.match(requirement)
            conditional = ";" in requirement
            if match and not ("extra" in requirement or (conditional and not _installed(match[0]))):
                pending.append(match[0].lower())
    return tuple(sorted(wanted))


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _compiled() -> list[str]:
    """The dependencies that hold machine code, each good for one Python version only."""
    return [
        name
        for name in dependencies()
        if any(entry.suffix in {".so", ".pyd"} for entry in metadata.files(name) or ())
    ]


def package_directory(name: str) -> Path:
    """Where an importable package lies; ImportError when it isn't installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(
            f"package {name} is not installed beside the runner; install squall[server]"
        )
    return Path(spec.origin).parent


def _sources(package: Path) -> Iterator[Path]:
    for path in sorted(package.rglob("*")):
        if path.is_file() and path.suffix in {".py", ".typed"}:
            yield path


def _digest() -> str:
    """Names what a site directory holds: the dependencies' versions and every source file."""
    digest = hashlib.sha256()
    for name in dependencies():
        digest.update(f"{name}=={metadata.version(name)}\n".encode())
    for name in PACKAGES:
        package = package_directory(name)
        for path in _sources(package):
            digest.update(f"{name}/{path.relative_to(package)}\n".encode())
            digest.update(path.read_bytes())
    for module in ALONE:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]


def _copy_distributions(target: Path, names: Sequence[str]) -> None:
    for name in names:
        distribution = metadata.distribution(name)
        for entry in distribution.files or ():
            if not _UNWANTED.isdisjoint(entry.parts) or entry.parts[0].endswith(".dist-info"):
                continue
            source = Path(str(distribution.locate_file(entry)))
            destination = target / PACKAGES_DIRECTORY / entry
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, destination)


def _copy_packages(target: Path, version: str) -> None:
    for name in PACKAGES:
        package = package_directory(name)
        for path in _sources(package):
            destination = target / OWN_DIRECTORY / name / path.relative_to(package)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination)
    for module in ALONE:
        source = Path(str(module.__file__))
        shutil.copyfile(source, target / source.name)
    if version == OWN_VERSION:
        # Unchecked: the directory never changes, so nothing is compared when a guest imports.
        compileall.compile_dir(
            target,
            quiet=1,
            workers=1,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
