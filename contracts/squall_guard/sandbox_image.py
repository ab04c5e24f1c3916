"""The image of sandboxes: one program of 130 bytes that sleeps until it is killed.

Made here rather than taken from a registry, so that it is there without a network; and no user's
image, which a waiting sandbox would keep from being removed.
"""

import io
import platform
import struct
import tarfile
from typing import Final

import structlog
from aiodocker import Docker, DockerError

log = structlog.get_logger()

REFERENCE: Final = "squall-sandbox:1"
_BASE: Final = 0x400000
_HEADERS_BYTES: Final = 64 + 56
_X86_64: Final = bytes.fromhex("b822000000 0f05 ebf7")  # pause(); again
_AARCH64: Final = struct.pack(
    # ppoll(NULL, 0, NULL, NULL, 0); again
    "<8I", 0xD2800000, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD2800928, 0xD4000001,
    0x17FFFFF9,
)  # fmt: skip
_PROGRAMS: Final = {
    "x86_64": (62, _X86_64),
    "amd64": (62, _X86_64),
    "aarch64": (183, _AARCH64),
    "arm64": (183, _AARCH64),
}


def program(machine: str) -> bytes | None:
    """The static ELF for a machine as `platform.machine()` names it; None: none for it."""
    if machine not in _PROGRAMS:
        return None
    number, code = _PROGRAMS[machine]
    size = _HEADERS_BYTES + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, number, 1, _BASE + _HEADERS_BYTES, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + segment + code


async def ensure(docker: Docker) -> bool:
    """Have the engine hold the image. False when it can't: then there are no sandboxes."""
    try:
        await docker.images.inspect(REFERENCE)
        return True
    except DockerError as error:
        if error.status != 404:
            log.warning("sandbox.no_image", error=error.message)
            return False
    machine = await machine_of(docker)
    pause = program(machine)
    if pause is None:
        log.info("sandbox.no_program", machine=machine)
        return False
    return await _load(docker, archive("pause", pause))


async def machine_of(docker: Docker) -> str:
    """What `program` is asked for: the engine's machine. DockerError."""
    return str((await docker.system.info()).get("Architecture", platform.machine()))


async def _load(docker: Docker, image: bytes) -> bool:
    repository, _, tag = REFERENCE.partition(":")
    url = f"{docker.docker_host}/{docker.api_version}/images/create"
    params = {"fromSrc": "-", "repo": repository, "tag": tag}
    headers = {"Content-Type": "application/x-tar"}
    async with docker.session.post(url, params=params, data=image, headers=headers) as response:
        told = await response.text()
        if response.status != 200 or "errorDetail" in told:
            log.warning("sandbox.no_image", error=told.strip())
            return False
    return True


def archive(name: str, content: bytes) -> bytes:
    """A tar that holds one program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
