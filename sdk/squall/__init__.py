"""Squall: decorate a function, call `f.remote(x)`, and it runs in a container on your machines.

Everything public is here; each name loads its module when it is first used.
"""

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from squall import exception
from squall.exception import Error

if TYPE_CHECKING:
    from squall._calling.gathering import gather, wait_first
    from squall._console.showing import enable_output
    from squall._context import (
        current_function_call_id,
        current_input_id,
        current_scheduled_time,
        is_local,
    )
    from squall._declaring.methods import batched, concurrent, enter, exit, method
    from squall._declaring.parameters import parameter
    from squall._terminal.interacting import interact
    from squall._terminal.tunnelling import Tunnel, forward
    from squall.app import App
    from squall.call import FunctionCall
    from squall.client import Client
    from squall.cloud_bucket_mount import CloudBucketMount
    from squall.cls import Cls
    from squall.cluster import Cluster, clustered
    from squall.dict import Dict
    from squall.environment import Environment
    from squall.file_pattern_matcher import FilePatternMatcher
    from squall.function import Function
    from squall.image import Image
    from squall.queue import Queue
    from squall.retries import Retries
    from squall.sandbox import Probe, Sandbox
    from squall.schedule import Cron, Period
    from squall.secret import Secret
    from squall.server import Server
    from squall.volume import Volume
    from squall.web import (
        WebRequest,
        WebResponse,
        asgi_app,
        fastapi_endpoint,
        web_endpoint,
        web_server,
        wsgi_app,
    )

__version__ = "0.1.0"

__all__ = [
    "App",
    "Client",
    "CloudBucketMount",
    "Cls",
    "Cluster",
    "Cron",
    "Dict",
    "Environment",
    "Error",
    "FilePatternMatcher",
    "Function",
    "FunctionCall",
    "Image",
    "Period",
    "Probe",
    "Queue",
    "Retries",
    "Sandbox",
    "Secret",
    "Server",
    "Tunnel",
    "Volume",
    "WebRequest",
    "WebResponse",
    "asgi_app",
    "batched",
    "clustered",
    "concurrent",
    "current_function_call_id",
    "current_input_id",
    "current_scheduled_time",
    "enable_output",
    "enter",
    "exception",
    "exit",
    "fastapi_endpoint",
    "forward",
    "gather",
    "interact",
    "is_local",
    "method",
    "parameter",
    "wait_first",
    "web_endpoint",
    "web_server",
    "wsgi_app",
]

_HOMES = {
    "App": "app",
    "Client": "client",
    "CloudBucketMount": "cloud_bucket_mount",
    "Cls": "cls",
    "Cluster": "cluster",
    "Cron": "schedule",
    "Dict": "dict",
    "Environment": "environment",
    "FilePatternMatcher": "file_pattern_matcher",
    "Function": "function",
    "FunctionCall": "call",
    "Image": "image",
    "Mount": "_modal.mount",
    "Period": "schedule",
    "Probe": "sandbox",
    "Proxy": "_modal.proxy",
    "Queue": "queue",
    "Retries": "retries",
    "Sandbox": "sandbox",
    "SchedulerPlacement": "_modal.placement",
    "Secret": "secret",
    "Server": "server",
    "Tunnel": "_terminal.tunnelling",
    "Volume": "volume",
    "WebRequest": "web",
    "WebResponse": "web",
    "asgi_app": "web",
    "batched": "_declaring.methods",
    "clustered": "cluster",
    "concurrent": "_declaring.methods",
    "current_function_call_id": "_context",
    "current_input_id": "_context",
    "current_scheduled_time": "_context",
    "enable_output": "_console.showing",
    "enter": "_declaring.methods",
    "exit": "_declaring.methods",
    "fastapi_endpoint": "web",
    "forward": "_terminal.tunnelling",
    "gather": "_calling.gathering",
    "interact": "_terminal.interacting",
    "is_local": "_context",
    "method": "_declaring.methods",
    "parameter": "_declaring.parameters",
    "wait_first": "_calling.gathering",
    "web_endpoint": "web",
    "web_server": "web",
    "wsgi_app": "web",
}
_MODULES = {
    **{name: f"squall.{name}" for name in ("config", "experimental", "runner", "serving", "types")},
    **{name: f"squall._modal.{name}" for name in ("call_graph", "functions", "gpu", "output")},
}
"""Modules that are there without being imported, as Modal has them."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _HOMES:
        from squall._modal import old_names

        if name in old_names.GONE:
            raise AttributeError(f"squall.{name} is not available: {old_names.GONE[name]}")
        if name not in old_names.RENAMED:
            raise AttributeError(f"module 'squall' has no attribute {name!r}")
        now = old_names.RENAMED[name]
        warnings.warn(
            f"squall.{name} is now called squall.{now}", exception.DeprecationError, stacklevel=2
        )
        name = now
    value = getattr(importlib.import_module(f"squall.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
