"""A service's settings: what they are, and their defaults. Unknown keys are errors."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class Part(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class BuildConfig(Part):
    """The image. `image` None: Squall's own base with this Python; else an image's name, `tag` its
    tag. `pip_packages`, `python_sources`: packages the pipeline imports, from a registry and from this
    project. `extra_run_commands`: run between the two."""

    image: str | None = None
    tag: str | None = None
    workdir: str = "/root"
    env: dict[str, str] = Field(default_factory=dict)
    pip_packages: list[str] = Field(default_factory=list)
    extra_run_commands: list[str] = Field(default_factory=list)
    python_sources: list[str] = Field(default_factory=list)

    @field_validator("extra_run_commands", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _tag_needs_image(self) -> "BuildConfig":
        if self.tag and not self.image:
            raise ValueError("tag: there is no image that it would be the tag of: add image")
        return self


class Mount(Part):
    """A local file, or with `type` "dir" a directory, at `remote_path` in the containers."""

    local_path: str
    remote_path: str
    type: Literal["file", "dir"] = "file"


class CloudBucket(Part):
    """An S3-compatible bucket at `mount_point`. `secret`: the name of one with its credentials."""

    mount_point: str
    bucket_name: str
    bucket_endpoint_url: str | None = None
    key_prefix: str | None = None
    secret: str | None = None
    oidc_auth_role_arn: str | None = None
    read_only: bool = False
    requester_pays: bool = False


class DeploymentConfig(Part):
    """The containers of the models and of the web endpoints.

    `concurrency_limit`: most containers of one model, None for no limit. `container_idle_timeout`:
    seconds until an idle one ends. `allow_concurrent_inputs`: inputs a container takes in beyond a
    whole batch that runs and one that is collected. `allow_concurrent_inputs_handler`: requests at
    a time in one container of the endpoints. `retries`: how often an input that failed by itself is
    run again. `volume_reload_interval_seconds` None or -1: volumes are never reloaded. `secure`:
    callers need a token of `squall proxy-token`. `region`: has no meaning on one's own machines.
    """

    region: str | None = None
    gpu: str | list[str] | None = None
    cpu: float | None = None
    memory: int | None = None
    timeout: int = 300
    min_containers: int = 0
    volumes: dict[str, str] = Field(default_factory=dict)
    volume_reload_interval_seconds: float | None = None
    concurrency_limit: int | None = Field(default=None, ge=1)
    retries: int = Field(default=1, ge=0, le=10)
    secrets: list[str] = Field(default_factory=list)
    mounts: list[Mount] = Field(default_factory=list)
    container_idle_timeout: int = 180
    allow_concurrent_inputs: int = Field(default=1, ge=1)
    allow_concurrent_inputs_handler: int = Field(default=10, ge=1)
    secure: bool = False
    cloud_bucket_mounts: list[CloudBucket] = Field(default_factory=list)

    @field_validator("volumes", mode="before")
    @classmethod
    def _none_is_none(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("volume_reload_interval_seconds")
    @classmethod
    def _never_is_none(cls, value: float | None) -> float | None:
        if value is None or value == -1:
            return None
        if value <= 0:
            raise ValueError("must be above 0; None or -1: never")
        return value


class BatchConfig(Part):
    """How many inputs of many callers are run together, and how long the first waits for others."""

    max_batch_size: int = Field(default=1, ge=1, le=1000)
    wait_ms: int = Field(default=0, ge=0, le=600_000)


class QueueConfig(Part):
    """Where outcomes of asynchronous jobs go. `broker_url` None: the backend's own default; for
    "nats" that is the queues of the workspace, `squall.Queue`."""

    backend: str = "nats"
    broker_url: str | None = None


class AuthConfig(Part):
    """Callers must send one of the keys in a header.

    `secret`: the name of a Squall secret whose variable `key` holds the keys, commas between them.
    A service whose containers don't find any key refuses to start.
    """

    secret: str
    key: str = "SERVING_API_KEYS"
    auth_header: str = "x-api-key"


class AppSettings(Part):
    app_prefix: str
    build_config: BuildConfig = Field(default_factory=BuildConfig)
    deployment_config: DeploymentConfig = Field(default_factory=DeploymentConfig)
    batch_config: BatchConfig = Field(default_factory=BatchConfig)
    queue_config: QueueConfig = Field(default_factory=QueueConfig)
    auth_config: AuthConfig | None = None


class ModelSettings(Part):
    """`local_model_repository_folder`: where models' files lie in the containers. `common`: what
    all models share. `model_entries`: what each model's pipeline is given, by its name."""

    local_model_repository_folder: Path
    common: dict[str, Any] = Field(default_factory=dict)
    model_entries: dict[str, dict[str, Any]] = Field(min_length=1)


class Settings(BaseSettings):
    """Everything there is to set. `Settings()` with no arguments reads files and the environment:
    see `squall.serving.sources`."""

    model_config = SettingsConfigDict(extra="forbid", protected_namespaces=())

    app_settings: AppSettings
    model_settings: ModelSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What wins comes first: arguments, the environment, .env, the last YAML file, the others."""
        from squall.serving.sources import sources

        return (init_settings, *sources(settings_cls))
