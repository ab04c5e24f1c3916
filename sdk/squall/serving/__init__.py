"""Model serving with conventions: write a pipeline, keep the rest in YAML.

An `InferencePipeline` turns a batch of inputs into outputs; an `InferenceService` below
`@app.cls(…)` runs it in containers; `create_web_endpoints` gives it routes. Needs `squall[serving]`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from squall.serving.errors import (
    AuthConfigError,
    BackendError,
    DependencyError,
    SettingsError,
    TypeValidationError,
)

if TYPE_CHECKING:
    from squall.serving.config import ServiceConfig
    from squall.serving.config import ServiceConfig as ModalConfig
    from squall.serving.payloads import (
        AsyncInputModel,
        AsyncOutputModel,
        DelayedFailureOutputModel,
        InferenceOutputModel,
        SyncInputModel,
    )
    from squall.serving.pipeline import InferencePipeline
    from squall.serving.queues import QueueBackend, create_backend, register_backend
    from squall.serving.service import InferenceService
    from squall.serving.service import InferenceService as ModalService
    from squall.serving.settings import Settings
    from squall.serving.web import create_app, create_web_endpoints

__all__ = [
    "AsyncInputModel",
    "AsyncOutputModel",
    "AuthConfigError",
    "BackendError",
    "DelayedFailureOutputModel",
    "DependencyError",
    "InferenceOutputModel",
    "InferencePipeline",
    "InferenceService",
    "ModalConfig",
    "ModalService",
    "QueueBackend",
    "ServiceConfig",
    "Settings",
    "SettingsError",
    "SyncInputModel",
    "TypeValidationError",
    "create_app",
    "create_backend",
    "create_web_endpoints",
    "register_backend",
]

_HOMES = {
    "AsyncInputModel": "payloads",
    "AsyncOutputModel": "payloads",
    "DelayedFailureOutputModel": "payloads",
    "InferenceOutputModel": "payloads",
    "InferencePipeline": "pipeline",
    "InferenceService": "service",
    "ModalConfig": "config",
    "ModalService": "service",
    "QueueBackend": "queues",
    "ServiceConfig": "config",
    "Settings": "settings",
    "SyncInputModel": "payloads",
    "create_app": "web",
    "create_backend": "queues",
    "create_web_endpoints": "web",
    "register_backend": "queues",
}
_ALIASES = {"ModalConfig": "ServiceConfig", "ModalService": "InferenceService"}
"""modalkit's names."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{home}")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("squall"):
            raise
        raise DependencyError(
            f"squall.serving needs {error.name}: install squall[serving]"
        ) from error
    value = getattr(module, _ALIASES.get(name, name))
    globals()[name] = value
    return value
