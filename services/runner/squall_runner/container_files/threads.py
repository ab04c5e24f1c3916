"""Threads that touch the files of containers: they may do there what the root of a container may.

The runner is often the machine's root. Of its capabilities these threads keep those every container has
that concern files, so that the kernel refuses them what it would refuse the container.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import structlog

T = TypeVar("T")
log = structlog.get_logger()

THREADS: Final = 16
_CHOWN, _DAC_OVERRIDE, _FOWNER = 0, 1, 3
_KEPT: Final = 1 << _CHOWN | 1 << _DAC_OVERRIDE | 1 << _FOWNER
_VERSION: Final = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


class Threads:
    """Of one runner."""

    def __init__(self, count: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(count, "files", initializer=_shed)

    def run(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """`work()`, on one of the threads. What was begun works on to its end."""
        return asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _shed() -> None:
    """Give up all other capabilities, in this thread alone. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise OSError(ctypes.get_errno(), "capabilities can't be read")
    fewer = (_Sets * 2)(_Sets(sets[0].effective & _KEPT, sets[0].permitted & _KEPT, 0), _Sets())
    if libc.capset(ctypes.byref(header), ctypes.byref(fewer)) != 0:
        number = ctypes.get_errno()
        log.error("files.capabilities_kept", error=os.strerror(number))
        raise OSError(number, "capabilities can't be given up")
