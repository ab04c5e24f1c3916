"""Who may import whom. The contract between services is the bus, and nothing else."""

import pytest

from .tree import PACKAGES, SERVICES, Module, imports, modules

BASE = {"msgspec", "squall_contracts"}
ON_THE_BUS = BASE | {"squall_bus", "anyio", "structlog", "prometheus_client"}
ALLOWED: dict[str, set[str]] = {
    "squall_contracts": {"msgspec"},
    "squall_bus": BASE
    | {
        "nacl",
        "nats",
        "nkeys",
        "anyio",
        "structlog",
        "uvloop",
        "aiohttp",
        "wsproto",
        "prometheus_client",
        "opentelemetry",
    },
    "squall_volumes": BASE | {"squall_bus"},
    "squall_terminals": BASE | {"squall_bus"},
    "squall_guard": BASE | {"aiodocker", "anyio", "structlog"},
    "squall": BASE
    | {
        "squall_bus",
        "squall_volumes",
        "squall_terminals",
        "cloudpickle",
        "dotenv",
        "rich",
        "uvloop",
    },
    "squall.serving": BASE
    | {
        "squall",
        "squall_bus",
        "aiobotocore",
        "botocore",
        "dotenv",
        "fastapi",
        "pydantic",
        "pydantic_settings",
        "redis",
        "taskiq",
        "yaml",
    },
    "squall.cli": BASE
    | {
        "squall",
        "squall_bus",
        "squall_volumes",
        "squall_terminals",
        "typer",
        "rich",
        "uvloop",
        "watchfiles",
    },
    "squall_guest": BASE
    | {"squall", "squall_bus", "cloudpickle", "uvloop", "fastapi", "h11", "wsproto"},
    "squall_gateway": ON_THE_BUS
    | {"aiohttp", "croniter", "jinja2", "multidict", "squall_volumes", "yarl"},
    "squall_builder": ON_THE_BUS | {"aiohttp", "aiodocker", "cloudpickle", "squall_guard", "uv"},
    "squall_scheduler": ON_THE_BUS,
    "squall_autoscaler": ON_THE_BUS,
    "squall_cron": ON_THE_BUS | {"croniter"},
    "squall_runner": ON_THE_BUS
    | {
        "aiohttp",
        "aiodocker",
        "pynvml",
        "squall_guard",
        "squall_volumes",
        "squall_terminals",
        "uv",
    },
    "squall_server": ON_THE_BUS | {"nats_server", "uvloop", *SERVICES},
}
FOR_SERVICES_ONLY = {"squall_bus.service", "squall_bus.logs", "squall_bus.monitor"}


def allowed_to(module: Module) -> set[str]:
    parts = [name for name in ALLOWED if f"{module.name}.".startswith(f"{name}.")]
    own = max(parts, key=len)
    return ALLOWED[own] | {module.package}


def test_every_package_has_its_rule() -> None:
    assert set(PACKAGES) == {name for name in ALLOWED if "." not in name}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_package_imports_only_what_it_may(package: str) -> None:
    offences = [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        if module.package == package
        for name, line in imports(module)
        if name.partition(".")[0] not in allowed_to(module)
    ]
    assert not offences, "\n".join(offences)


def test_sdk_does_not_import_its_command_line() -> None:
    offences = [
        f"{module.path}:{line}"
        for module in modules()
        if module.package in {"squall", "squall_guest"}
        and not module.name.startswith("squall.cli.")
        for name, line in imports(module)
        if f"{name}.".startswith("squall.cli.")
    ]
    assert not offences, "\n".join(offences)


def test_only_serving_imports_serving() -> None:
    offences = [
        f"{module.path}:{line}"
        for module in modules()
        if not module.name.startswith("squall.serving")
        for name, line in imports(module)
        if name.startswith("squall.serving")
    ]
    assert not offences, "\n".join(offences)


def test_client_and_guest_leave_the_service_lifecycle_alone() -> None:
    offences = [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        if module.package in {"squall", "squall_guest"}
        for name, line in imports(module)
        if name in FOR_SERVICES_ONLY
    ]
    assert not offences, "\n".join(offences)
