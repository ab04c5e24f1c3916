"""The Kubernetes manifests are valid, and give nobody more than it needs."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from squall_contracts.rights import SERVICES

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
VERSION = "1.33"


def documents() -> list[dict[str, Any]]:
    return [each for path in FILES for each in yaml.safe_load_all(path.read_text())]


def workloads() -> dict[str, dict[str, Any]]:
    kinds = {"Deployment", "DaemonSet", "StatefulSet"}
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] in kinds}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifest_is_valid(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_a_misspelt_field_is_found() -> None:
    broken = workloads()["scheduler"]
    broken["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


def test_all_manifests_are_applied() -> None:
    told = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(told) == [path.name for path in FILES]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_its_own_credentials_alone(service: str) -> None:
    pod = workloads()[service]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    assert secret["items"] == [{"key": f"{service}.creds", "path": f"{service}.creds"}]
    claims = [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert bool(claims) == (service == "gateway")


@pytest.mark.parametrize("service", SERVICES)
def test_only_what_speaks_to_an_engine_sees_the_node(service: str) -> None:
    pod = workloads()[service]["spec"]["template"]["spec"]
    sees = service in {"runner", "builder"}
    assert pod.get("hostPID", False) is sees
    assert pod.get("hostNetwork", False) is sees
    (container,) = pod["containers"]
    assert ("add" in container["securityContext"].get("capabilities", {})) is sees
