"""From a service's settings to what `@app.cls(…)` and `@app.function(…)` are told."""

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from squall.image import Image
from squall.secret import Secret
from squall.serving.errors import SettingsError
from squall.serving.settings import AppSettings, CloudBucket, ModelSettings, Settings
from squall.serving.sources import CARRIED, DEFAULT_FILES, FILES_VARIABLES, explained
from squall.volume import Volume

if TYPE_CHECKING:
    from squall.serving.settings import DeploymentConfig

_POSTFIX_VARIABLES: Final = ("SQUALL_SERVING_APP_POSTFIX", "MODALKIT_APP_POSTFIX")
_MAX_CARRIED_BYTES: Final = 100_000
"""Linux takes no variable of 128 KiB."""
_PACKAGES: Final = ("fastapi", "pydantic", "pydantic-settings", "pyyaml")
_BACKEND_PACKAGES: Final = {"sqs": "aiobotocore", "redis": "redis", "taskiq": "taskiq"}


class ServiceConfig:
    """The settings of one service, and what follows from them.

    The program that deploys reads them from files and its environment; the containers are given
    what it found, so that both know the same.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        """`settings` None: read them. SettingsError says all that is wrong with them."""
        self.settings = _read() if settings is None else settings

    @property
    def app_settings(self) -> AppSettings:
        """What concerns the app as a whole."""
        return self.settings.app_settings

    @property
    def model_settings(self) -> ModelSettings:
        """What concerns the models."""
        return self.settings.model_settings

    @property
    def deployment(self) -> "DeploymentConfig":
        """What concerns the containers."""
        return self.app_settings.deployment_config

    @property
    def app_postfix(self) -> str:
        """What tells this deployment from others of the same app: "-dev" unless a variable
        `SQUALL_SERVING_APP_POSTFIX` says otherwise."""
        return next((os.environ[name] for name in _POSTFIX_VARIABLES if name in os.environ), "-dev")

    @property
    def app_name(self) -> str:
        """The app's name."""
        return self.app_settings.app_prefix + self.app_postfix

    @property
    def models(self) -> tuple[str, ...]:
        """The names that callers can ask for."""
        return tuple(self.model_settings.model_entries)

    @property
    def volumes(self) -> dict[str, Volume]:
        """The volumes by where they are mounted; a missing one is made."""
        return {
            mount: Volume.from_name(name, create_if_missing=True)
            for mount, name in self.deployment.volumes.items()
        }

    @property
    def all_volumes(self) -> dict[str, Any]:
        """Volumes and buckets by where they are mounted."""
        buckets = {each.mount_point: _bucket(each) for each in self.deployment.cloud_bucket_mounts}
        return {**self.volumes, **buckets}

    def get_image(self) -> Image:
        """The image of the containers, with what serving needs in it."""
        build = self.app_settings.build_config
        if build.image is None:
            image = Image.debian_slim()
        else:
            image = Image.from_registry(f"{build.image}:{build.tag}" if build.tag else build.image)
        backend = _BACKEND_PACKAGES.get(self.app_settings.queue_config.backend)
        needed = [*_PACKAGES, *([backend] if backend else [])]
        image = image.pip_install(*(f"{each}=={version(each)}" for each in needed))
        if build.pip_packages:
            image = image.pip_install(*build.pip_packages)
        if build.extra_run_commands:
            image = image.run_commands(*build.extra_run_commands)
        image = image.env({**build.env}).workdir(build.workdir)
        if build.python_sources:
            image = image.add_local_python_source(*build.python_sources)
        for mount in self.deployment.mounts:
            if mount.type == "dir":
                image = image.add_local_dir(mount.local_path, mount.remote_path)
            else:
                image = image.add_local_file(mount.local_path, mount.remote_path)
        return image

    def get_app_cls_settings(self) -> dict[str, Any]:
        """The arguments of `@app.cls(…)` for an InferenceService."""
        chosen = self.deployment
        options: dict[str, Any] = {
            "image": self.get_image(),
            "gpu": chosen.gpu,
            "cpu": chosen.cpu,
            "memory": chosen.memory,
            "timeout": chosen.timeout,
            "volumes": self.all_volumes,
            "secrets": [Secret.from_name(name) for name in chosen.secrets],
            "min_containers": chosen.min_containers or None,
            "max_containers": chosen.concurrency_limit,
            "scaledown_window": chosen.container_idle_timeout,
            "env": self._carried(),
        }
        return {name: value for name, value in options.items() if value is not None}

    def get_handler_settings(self) -> dict[str, Any]:
        """The arguments of `@app.function(…)` for the web endpoints."""
        auth = self.app_settings.auth_config
        names = [*self.deployment.secrets, *([auth.secret] if auth else [])]
        return {
            "image": self.get_image(),
            "secrets": [Secret.from_name(name) for name in dict.fromkeys(names)],
            "scaledown_window": self.deployment.container_idle_timeout,
            "env": self._carried(),
        }

    def get_handler_concurrency(self) -> dict[str, int]:
        """The arguments of `@squall.concurrent(…)` for the web endpoints."""
        return {"max_inputs": self.deployment.allow_concurrent_inputs_handler}

    def get_asgi_app_settings(self) -> dict[str, Any]:
        """The arguments of `@squall.asgi_app(…)`."""
        return {"requires_proxy_auth": self.deployment.secure}

    def get_batched_method_settings(self) -> dict[str, int]:
        """How large batches are and how long they are collected."""
        batch = self.app_settings.batch_config
        return {"max_batch_size": batch.max_batch_size, "wait_ms": batch.wait_ms}

    def _carried(self) -> dict[str, str]:
        text = self.settings.model_dump_json(exclude_unset=True)
        if len(text.encode()) > _MAX_CARRIED_BYTES:
            raise SettingsError(
                f"the settings are {len(text.encode())} bytes long, over the {_MAX_CARRIED_BYTES} "
                "that containers can be given: put long values into files of a volume"
            )
        return {CARRIED: text}


def _read() -> Settings:
    try:
        return Settings()  # type: ignore[call-arg] # its sources fill it
    except ValidationError as error:
        if all(each["type"] == "missing" and len(each["loc"]) == 1 for each in error.errors()):
            raise SettingsError(
                f"there are no settings: write {DEFAULT_FILES[0]} here (`squall init serving` does), "
                f"or name files in {FILES_VARIABLES[0]}"
            ) from error
        raise explained(error, Settings) from error


def _bucket(said: CloudBucket) -> Any:
    from squall.cloud_bucket_mount import CloudBucketMount

    secret = None if said.secret is None else Secret.from_name(said.secret)
    options = said.model_dump(exclude={"mount_point", "bucket_name", "secret"}, exclude_none=True)
    return CloudBucketMount(said.bucket_name, secret=secret, **options)
