"""The machine's GPUs: their types in device order, as functions ask for them."""

import re
from typing import Any, Final

import structlog
from squall_contracts.usage import GpuUsage

log = structlog.get_logger()

_MIB: Final = 1024 * 1024
_MODEL: Final = re.compile(r"\bRTX [A-Z]?\d{3,4}\b|\b[A-Z]{1,3}\d{1,4}[A-Z]?\b")
_A100: Final = "A100"
_LARGE_A100_MIB: Final = 60_000


def kind(name: str, memory_mib: int) -> str:
    """The type of a device NVML calls `name`: `NVIDIA H100 80GB HBM3` is an H100. An A100 with 80
    GB is an A100-80GB; what has no model number keeps its name, with dashes for spaces."""
    words = name.upper().removeprefix("NVIDIA ").removeprefix("TESLA ")
    found = _MODEL.search(words.replace("-", " "))
    if found is None:
        return re.sub(r"[^A-Z0-9]+", "-", words).strip("-")
    model = found.group().replace(" ", "-")
    return f"{_A100}-80GB" if model == _A100 and memory_mib > _LARGE_A100_MIB else model


def detect() -> tuple[str, ...]:
    """The type of each device; empty without NVIDIA's driver, which is no fault, or without its
    Python library, which is said."""
    try:
        import pynvml
    except ImportError:
        log.info("gpus.not_looked_for", why="nvidia-ml-py is not installed: pip install it")
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.debug("gpus.none", why=str(error))
        return ()
    try:
        return tuple(_kind_of(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        log.warning("gpus.unreadable", error=str(error))
        return ()
    finally:
        pynvml.nvmlShutdown()


def _kind_of(pynvml: object, number: int) -> str:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)  # type: ignore[attr-defined]
    name = pynvml.nvmlDeviceGetName(handle)  # type: ignore[attr-defined]
    text = name.decode() if isinstance(name, bytes) else str(name)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total  # type: ignore[attr-defined]
    return kind(text, int(memory) // _MIB)


def measured() -> tuple[GpuUsage, ...]:
    """What each device does just now; empty where NVML doesn't tell."""
    try:
        import pynvml
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        log.debug("gpus.not_measured", why=str(error))
        return ()
    try:
        return tuple(_usage_of(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        log.warning("gpus.unreadable", error=str(error))
        return ()
    finally:
        pynvml.nvmlShutdown()


def _usage_of(pynvml: Any, number: int) -> GpuUsage:
    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return GpuUsage(
        kind=_kind_of(pynvml, number),
        busy=pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
        memory_bytes=int(memory.used),
        memory_total_bytes=int(memory.total),
    )


def visible(devices: tuple[int, ...]) -> dict[str, str]:
    """What says to NVIDIA's container runtime and to CUDA which devices a container has. Inside it
    they are numbered from 0. Without devices nothing is to be seen, whatever the image says."""
    if not devices:
        return {"NVIDIA_VISIBLE_DEVICES": "void"}
    return {
        "NVIDIA_VISIBLE_DEVICES": ",".join(map(str, devices)),
        "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(len(devices)))),
    }
