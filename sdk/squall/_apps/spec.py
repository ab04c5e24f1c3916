"""An app as it is sent to a server: function specs, images, and the content they name."""

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec
from squall_contracts.functions import FileEntry, FunctionSpec

from squall._apps.source import Source, entries, source_of
from squall._image.files import Content
from squall._modal import alias
from squall._volume.mounts import bucket, divided
from squall.exception import InvalidError, SerializationError

if TYPE_CHECKING:
    from squall.app import App
    from squall.cloud_bucket_mount import CloudBucketMount
    from squall.function import Function
    from squall.image import Image, ResolvedImage
    from squall.secret import Secret
    from squall.volume import Volume

_WARN_BYTES = 256 * 1024
_MAX_BYTES = 16 * 1024 * 1024


@dataclass
class Plan:
    """All that must be at the server before the app can start."""

    functions: list[FunctionSpec] = field(default_factory=list)
    images: "dict[str, ResolvedImage]" = field(default_factory=dict)
    """By image id."""
    uploads: dict[str, Content] = field(default_factory=dict)
    """Content by sha256, beside what the images' recipes name."""
    secrets: "dict[str, tuple[Secret, ...]]" = field(default_factory=dict)
    """Of each function that has any, the app's before its own; sealed once there is a server."""
    volumes: "dict[str, dict[str, Volume]]" = field(default_factory=dict)
    """By function and mount path; their ids are looked up before the app starts."""
    buckets: "dict[str, dict[str, CloudBucketMount]]" = field(default_factory=dict)
    """Likewise."""


def plan(app: "App") -> Plan:
    """Read the app's source, images' files and pickled functions. Blocks on disk; runs user code
    where objects say how they are pickled. InvalidError, NotFoundError name what is at fault."""
    made = Plan()
    sources: dict[str, Source] = {}
    resolved: dict[int, ResolvedImage] = {}
    files: dict[str, tuple[FileEntry, ...]] = {}
    default = _default_image(app)
    for function in app.declared.values():
        source = sources.setdefault(function.raw.__module__, source_of(function.raw))
        image = function.options.image or default
        shared = (function.app or app).volumes
        made.volumes[function.name], made.buckets[function.name] = divided(
            {**shared, **function.options.volumes}
        )
        if id(image) not in resolved:
            resolved[id(image)] = _resolve(made, image)
        home = function.app or app
        if secrets := (*home.secrets, *function.options.secrets):
            made.secrets[function.name] = secrets
        made.functions.append(
            _spec(made, app, function, source=source, image=resolved[id(image)], known=files)
        )
    return made


def settle(made: Plan, environment: str) -> None:
    """Say in which environment the secrets of image steps are looked up, which is part of an
    image's name: other values may have made it."""
    from squall._image.secrets import in_environment

    renamed: dict[str, str] = {}
    for image_id, image in list(made.images.items()):
        if image.secrets:
            settled = replace(image, recipe=in_environment(image.recipe, environment))
            del made.images[image_id]
            made.images[settled.image_id] = settled
            renamed[image_id] = settled.image_id
    made.functions = [
        msgspec.structs.replace(spec, image_id=renamed.get(spec.image_id, spec.image_id))
        for spec in made.functions
    ]


def _default_image(app: "App") -> "Image":
    from squall.image import Image

    return app.image if app.image is not None else Image.debian_slim()


def _resolve(made: Plan, image: "Image") -> "ResolvedImage":
    from squall.image import resolve

    resolved = resolve(image)
    made.images[resolved.image_id] = resolved
    made.uploads.update(resolved.uploads)
    return resolved


def _spec(
    made: Plan,
    app: "App",
    function: "Function[Any, Any, Any]",
    *,
    source: Source,
    image: "ResolvedImage",
    known: dict[str, tuple[FileEntry, ...]],
) -> FunctionSpec:
    options = function.options
    serialized = None
    if options.serialized or not source.importable:
        serialized = _pickled(made, app, function)
    laid = {entry.path: entry for entry in image.overlays}
    if serialized is None and _ships_source(app, function):
        if source.module not in known:
            known[source.module] = entries(source.files)
        for entry in known[source.module]:
            laid[entry.path] = entry
            made.uploads[entry.sha256] = source.files[entry.path]
    return FunctionSpec(
        name=function.name,
        module=source.module,
        qualname=function.raw.__qualname__,
        serialized=serialized,
        is_generator=options.is_generator,
        is_async=options.is_async,
        image_id=image.image_id,
        files=tuple(laid[path] for path in sorted(laid)),
        env={**options.env, **_modal()},
        resources=options.resources,
        scaling=options.scaling,
        retry=options.retry,
        timeout_s=options.timeout_s,
        startup_timeout_s=options.startup_timeout_s,
        max_inputs=options.max_inputs,
        target_inputs=options.target_inputs,
        batch=options.batch,
        single_use=options.single_use,
        result_ttl_s=options.result_ttl_s,
        methods=options.methods,
        parameters=options.parameters,
        block_network=options.block_network,
        outbound_cidrs=options.outbound_cidrs,
        restricted=options.restricted,
        memory_snapshot=options.memory_snapshot,
        nonpreemptible=options.nonpreemptible,
        clustered=options.clustered,
        schedule=options.schedule,
        web=options.web,
        buckets=tuple(bucket(path, each) for path, each in made.buckets[function.name].items()),
    )


def _modal() -> dict[str, str]:
    """The variable that lets containers import modal where this process does."""
    return {alias.VARIABLE: "1"} if alias.installed() else {}


def _ships_source(app: "App", function: "Function[Any, Any, Any]") -> bool:
    own = function.options.include_source
    home = function.app or app
    return home.include_source if own is None else own


def _pickled(made: Plan, app: "App", function: "Function[Any, Any, Any]") -> str:
    """Pickle the function itself, with what it refers to; returns the digest."""
    import hashlib

    with (function.app or app).serializing():
        data = _by_value(function)
    if len(data) > _MAX_BYTES:
        raise InvalidError(
            f"{function.name} takes {len(data) / 2**20:.1f} MiB pickled, more than 16 MiB: pass "
            "large objects as arguments, or put them into the image"
        )
    if len(data) > _WARN_BYTES:
        warnings.warn(
            f"{function.name} takes {len(data) // 1024} KiB pickled: does it hold a large object?",
            UserWarning,
            stacklevel=2,
        )
    digest = hashlib.sha256(data).hexdigest()
    made.uploads[digest] = data
    return digest


def _by_value(function: "Function[Any, Any, Any]") -> bytes:
    """Its module isn't shipped, so what it uses of that module goes by value too."""
    import sys

    import cloudpickle

    module = sys.modules.get(function.raw.__module__)
    registered = (
        module is not None
        and module.__name__ != "__main__"
        and module.__name__ not in cloudpickle.list_registry_pickle_by_value()
    )
    if registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(function.raw, 5)
    except Exception as error:
        raise SerializationError(
            f"{function.name} can't be pickled: {type(error).__name__}: {error}"
        ) from error
    finally:
        if registered:
            cloudpickle.unregister_pickle_by_value(module)
    return data
