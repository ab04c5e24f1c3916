"""How the engine is told to make a container of ours."""

from collections.abc import Mapping
from typing import Any, Final

from squall_contracts.guest import ASSIGNMENT_VARIABLE

from squall_runner import engine, gpus, sweep
from squall_runner.runtime import Launch, Layout
from squall_runner.settings import Settings

CAPABILITIES: Final = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "KILL",
    "NET_BIND_SERVICE",
)
CA_BUNDLE: Final = "/squall/ca-bundle.pem"
CA_VARIABLES: Final = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
BOOT: Final = (
    "/bin/sh",
    "-c",
    "command -v python >/dev/null && exec python -P /squall/site/boot.py;"
    " exec python3 -P /squall/site/boot.py",
)
"""Debian's images have python3 alone, most others python too: asking costs 1 ms, a probe 250."""
LOG_CONFIG: Final = {"Type": "json-file", "Config": {"max-size": "64m", "max-file": "2"}}
"""A driver that can be read, whatever the engine's default; bounded, as all of it goes to LOGS."""
LAYOUT: Final = Layout(
    assignment="/squall/in/assignment",
    files_dir="/squall/in/files",
    root="/",
    flight_record="/squall/out/flight",
    template="/squall/in/template",
    failure="/squall/out/failure",
    authorities="/squall/in/authorities.pem",
)


def container(
    launch: Launch, network: str, settings: Settings, labels: Mapping[str, str]
) -> dict[str, Any]:
    """What the engine is asked to make; `labels` say whose it is."""
    binds = [
        f"{launch.directory}/in:/squall/in:ro",
        f"{launch.directory}/out:/squall/out",
        f"{launch.site}:/squall/site:ro",
    ]
    mounts = [
        {
            "Type": "bind",
            "Source": str(bind.source),
            "Target": bind.target,
            "ReadOnly": bind.read_only,
        }
        for bind in launch.binds
    ]
    env = {
        **launch.env,
        **gpus.visible(launch.gpus),
        ASSIGNMENT_VARIABLE: LAYOUT.assignment,
        "PYTHONUNBUFFERED": "1",
    }
    if settings.ca_bundle:
        binds.append(f"{settings.ca_bundle}:{CA_BUNDLE}:ro")
        env = {**dict.fromkeys(CA_VARIABLES, CA_BUNDLE), **env}
    host: dict[str, Any] = {
        "Binds": binds,
        "Mounts": mounts,
        "NetworkMode": network,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": ["no-new-privileges"],
        "LogConfig": LOG_CONFIG,
        **engine.limits(launch.limits),
    }
    if settings.oci_runtime:
        host["Runtime"] = settings.oci_runtime
    if launch.gpus and settings.gpu_driver == "nvidia":
        host["DeviceRequests"] = [
            {"DeviceIDs": [str(number) for number in launch.gpus], "Capabilities": [["gpu"]]}
        ]
    return {
        "Image": launch.reference,
        "Entrypoint": list(BOOT),
        "Cmd": [],
        "User": "0:0",
        "WorkingDir": launch.workdir or "/root",
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {
            **labels,
            sweep.LABEL_SLOT: launch.slot,
            **launch.labels,
        },
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": host,
    }
